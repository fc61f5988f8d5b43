// swift-tools-version: 6.0

import PackageDescription

let package = Package(
  name: "SampleCore",
  platforms: [.iOS(.v17), .macOS(.v14)],
  products: [.library(name: "SampleCore", targets: ["SampleCore"])],
  dependencies: [.package(path: "../MobileDiffusionKit")],
  targets: [
    .target(name: "SampleCore", dependencies: ["MobileDiffusionKit"]),
    // XCTest on Linux lists tests of the main actor in a way that Swift 6 mode refuses, and synchronous ones in none.
    .testTarget(
      name: "SampleCoreTests", dependencies: ["SampleCore"], swiftSettings: [.swiftLanguageMode(.v5)]),
  ],
  swiftLanguageModes: [.v6]
)
