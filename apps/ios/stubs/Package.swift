// swift-tools-version: 6.0

import PackageDescription

/// Small modules of the names of Apple's: what the app uses of them, for Linux alone.
let package = Package(
  name: "Stubs",
  products: [
    .library(name: "SwiftUI", targets: ["SwiftUI", "UIKit", "CoreGraphics", "UniformTypeIdentifiers", "PhotosUI"])
  ],
  targets: [
    .target(name: "SwiftUI", dependencies: ["UIKit", "UniformTypeIdentifiers"], path: "SwiftUI"),
    .target(name: "PhotosUI", dependencies: ["SwiftUI"], path: "PhotosUI"),
    .target(name: "UIKit", dependencies: ["CoreGraphics"], path: "UIKit"),
    .target(name: "CoreGraphics", path: "CoreGraphics"),
    .target(name: "UniformTypeIdentifiers", path: "UniformTypeIdentifiers"),
  ],
  swiftLanguageModes: [.v6]
)
