// swift-tools-version: 6.0

import PackageDescription

/// The app's own views above the stand-in for SwiftUI, and a program that renders them.  `Sample` is a link to the app's
/// sources; left out is what only a phone has: the app's life, and Core ML.
let package = Package(
  name: "Preview",
  dependencies: [
    .package(path: "../MobileDiffusionKit"), .package(path: "../SampleCore"), .package(path: "../stubs"),
  ],
  targets: [
    .target(
      name: "Sample",
      dependencies: ["SampleCore", "MobileDiffusionKit", .product(name: "SwiftUI", package: "stubs")], path: "Sample",
      exclude: [
        "App/SampleApp.swift", "App/StudioLive.swift", "App/Runtimes.swift", "Assets.xcassets", "Info.plist",
        "Localizable.xcstrings", "Sample.entitlements",
      ]),
    .executableTarget(
      name: "preview",
      dependencies: [
        "Sample", "SampleCore", "MobileDiffusionKit", .product(name: "ExecuTorchRunner", package: "MobileDiffusionKit"),
        .product(name: "SwiftUI", package: "stubs"),
      ], path: "Sources"),
  ],
  swiftLanguageModes: [.v6]
)
