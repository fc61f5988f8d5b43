// swift-tools-version: 6.0

import PackageDescription

/// ExecuTorch: its own package on Apple's systems. Elsewhere a small module of the same names stands in for it, above
/// the C++ runtime; it is there for tests and for `draw`, and is part of no app. A program finds the runtime's
/// library from its own place, apps/ios/build/*/*/release, wherever the checkout lies.
#if os(Linux)
  let library = "../../runner/build/x86_64"
  let dependencies: [Package.Dependency] = []
  let executorch: [Target.Dependency] = ["ExecuTorch"]
  let hostTargets: [Target] = [
    .systemLibrary(name: "CExecuTorch", path: "HostSupport/CExecuTorch"),
    .target(
      name: "ExecuTorch", dependencies: ["CExecuTorch"], path: "HostSupport/ExecuTorch",
      linkerSettings: [
        .unsafeFlags([
          "-L", "\(Context.packageDirectory)/\(library)",
          "-Xlinker", "-rpath", "-Xlinker", "$ORIGIN/../../../\(library)",
        ])
      ]),
    .executableTarget(name: "draw", dependencies: ["MobileDiffusionKit", "ExecuTorchRunner"]),
  ]
#else
  let dependencies: [Package.Dependency] = [
    .package(url: "https://github.com/pytorch/executorch.git", branch: "swiftpm-1.5.1")
  ]
  let executorch: [Target.Dependency] = [
    "executorch", "backend_coreml", "backend_xnnpack", "kernels_optimized", "kernels_quantized",
  ].map { .product(name: $0, package: "executorch") }
  let hostTargets: [Target] = []
#endif

let package = Package(
  name: "MobileDiffusionKit",
  platforms: [.iOS(.v17), .macOS(.v14)],
  products: [
    .library(name: "MobileDiffusionKit", targets: ["MobileDiffusionKit"]),
    .library(name: "CoreAIRunner", targets: ["CoreAIRunner"]),
    .library(name: "CoreMLRunner", targets: ["CoreMLRunner"]),
    .library(name: "ExecuTorchRunner", targets: ["ExecuTorchRunner"]),
  ],
  dependencies: dependencies,
  targets: hostTargets + [
    .target(name: "MobileDiffusionKit"),
    .target(name: "CoreAIRunner", dependencies: ["MobileDiffusionKit"]),
    .target(name: "CoreMLRunner", dependencies: ["MobileDiffusionKit"]),
    .target(name: "ExecuTorchRunner", dependencies: ["MobileDiffusionKit"] + executorch),
    .testTarget(name: "MobileDiffusionKitTests", dependencies: ["MobileDiffusionKit"]),
  ],
  swiftLanguageModes: [.v6]
)
