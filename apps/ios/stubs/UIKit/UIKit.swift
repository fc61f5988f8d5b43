@_exported import CoreGraphics
@_exported import Foundation

/// Colours of the system, by the names that a page's style sheet gives them.
public struct UIColor: Sendable {
  public let css: String

  public static let systemBackground = UIColor(css: "var(--background)")
  public static let secondarySystemBackground = UIColor(css: "var(--secondary-background)")
  public static let systemGroupedBackground = UIColor(css: "var(--grouped)")
  public static let secondarySystemGroupedBackground = UIColor(css: "var(--row)")
  public static let tertiarySystemFill = UIColor(css: "var(--fill)")
  public static let secondarySystemFill = UIColor(css: "var(--fill)")
}

public final class UIImage {
  private let png: Data
  public let size: CGSize

  public init(cgImage: CGImage) {
    png = portableNetworkGraphic(cgImage)
    size = CGSize(width: cgImage.width, height: cgImage.height)
  }

  public init?(contentsOfFile path: String) {
    guard let data = FileManager.default.contents(atPath: path), data.count > 24 else { return nil }
    png = data
    let (width, height) = (number(in: data, at: 16), number(in: data, at: 20))
    size = CGSize(width: width, height: height)
  }

  public init?(data: Data) { return nil }

  public func pngData() -> Data? { png }
  public func draw(in rect: CGRect) {}
}

/// Four bytes, the greatest first.
private func number(in data: Data, at place: Int) -> Int {
  data[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
}

@MainActor
public final class UIApplication {
  public static let shared = UIApplication()
  public var isIdleTimerDisabled = false

  public struct LaunchOptionsKey: Hashable, Sendable {}
}

@MainActor
public protocol UIApplicationDelegate: AnyObject {
  func applicationDidReceiveMemoryWarning(_ application: UIApplication)
}

// swift-format-ignore: AlwaysUseLowerCamelCase
@MainActor
public func UIImageWriteToSavedPhotosAlbum(
  _ image: UIImage, _ completionTarget: Any?, _ completionSelector: Any?, _ contextInfo: UnsafeMutableRawPointer?
) {}

// swift-format-ignore: AlwaysUseLowerCamelCase
public func UIGraphicsPushContext(_ context: CGContext) {}

// swift-format-ignore: AlwaysUseLowerCamelCase
public func UIGraphicsPopContext() {}
