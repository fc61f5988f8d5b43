import Foundation
import Observation

public enum ColorScheme: Hashable, Sendable {
  case light, dark
}

public enum ControlSize: Hashable, Sendable {
  case mini, small, regular, large, extraLarge
}

public struct EnvironmentValues {
  public var colorScheme = ColorScheme.light
  public var isEnabled = true
  public var dynamicTypeSize = DynamicTypeSize.large
  public var dismiss = DismissAction()
  public var openURL = OpenURLAction()
  var objects: [ObjectIdentifier: AnyObject] = [:]
  var buttonStyle = ButtonLook.automatic
  var buttonShape = ButtonBorderShape.automatic
  var controlSize = ControlSize.regular
  var isInList = false
  var hidesLabels = false
  var isIconOnly = false
}

@MainActor
public struct DismissAction {
  public func callAsFunction() {}
}

@MainActor
public struct OpenURLAction {
  public func callAsFunction(_ url: URL) {}
}

public enum DynamicTypeSize: Int, Comparable, Hashable, Sendable {
  case xSmall, small, medium, large, xLarge, xxLarge, xxxLarge
  case accessibility1, accessibility2, accessibility3, accessibility4, accessibility5

  public var isAccessibilitySize: Bool { self >= .accessibility1 }
  public static func < (one: Self, other: Self) -> Bool { one.rawValue < other.rawValue }
}

@propertyWrapper
public struct Environment<Value>: DynamicProperty {
  private let keyPath: KeyPath<EnvironmentValues, Value>?
  private let object: ObjectIdentifier?

  public init(_ keyPath: KeyPath<EnvironmentValues, Value>) { (self.keyPath, object) = (keyPath, nil) }

  public init(_ type: Value.Type) where Value: AnyObject & Observable {
    (keyPath, object) = (nil, ObjectIdentifier(type))
  }

  @MainActor public var wrappedValue: Value {
    if let keyPath { return Rendering.environment[keyPath: keyPath] }
    guard let object, let value = Rendering.environment.objects[object] as? Value else {
      fatalError("no \(Value.self) in the environment")
    }
    return value
  }
}

extension View {
  public func environment<T: AnyObject & Observable>(_ object: T?) -> some View {
    surrounded { $0.objects[ObjectIdentifier(T.self)] = object }
  }

  public func environment<V>(_ keyPath: WritableKeyPath<EnvironmentValues, V>, _ value: V) -> some View {
    surrounded { $0[keyPath: keyPath] = value }
  }
}
