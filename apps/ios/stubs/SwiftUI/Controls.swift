import Foundation

enum ButtonLook: String {
  case automatic, plain, borderless, bordered, prominent
}

public enum ButtonBorderShape: String, Sendable { case automatic, capsule, roundedRectangle, circle }

public struct ButtonRole: Equatable, Sendable {
  let name: String
  public static let destructive = ButtonRole(name: "destructive"), cancel = ButtonRole(name: "cancel")
}

public struct Button<Label: View>: DrawnView {
  let role: ButtonRole?
  let label: Label

  public init(role: ButtonRole? = nil, action: @escaping @MainActor () -> Void, @ViewBuilder label: () -> Label) {
    (self.role, self.label) = (role, label())
  }

  public func boxes() -> [Box] { [drawButton(SwiftUI.boxes(of: label), role: role)] }
}

extension Button where Label == SwiftUI.Label {
  public init(
    _ title: LocalizedStringKey, systemImage: String, role: ButtonRole? = nil, action: @escaping @MainActor () -> Void
  ) {
    self.init(role: role, action: action) { SwiftUI.Label(title, systemImage: systemImage) }
  }
}

extension Button where Label == Text {
  public init(_ title: LocalizedStringKey, role: ButtonRole? = nil, action: @escaping @MainActor () -> Void) {
    self.init(role: role, action: action) { Text(title) }
  }
}

@MainActor
func drawButton(_ label: [Box], role: ButtonRole? = nil) -> Box {
  let environment = Rendering.environment
  var names = ["button", environment.buttonStyle.rawValue, "shape-\(environment.buttonShape)"]
  names.append("size-\(environment.controlSize)")
  if let role { names.append(role.name) }
  if !environment.isEnabled { names.append("disabled") }
  if environment.isInList && environment.buttonStyle == .automatic { names.append("in-list") }
  return Box(.row, label, classes: names)
}

@MainActor
public protocol PrimitiveButtonStyle {
  nonisolated var look: String { get }
}
public struct PlainButtonStyle: PrimitiveButtonStyle {
  public var look: String { "plain" }
}
public struct BorderlessButtonStyle: PrimitiveButtonStyle {
  public var look: String { "borderless" }
}
public struct BorderedButtonStyle: PrimitiveButtonStyle {
  public var look: String { "bordered" }
}
public struct BorderedProminentButtonStyle: PrimitiveButtonStyle {
  public var look: String { "prominent" }
}
extension PrimitiveButtonStyle where Self == PlainButtonStyle {
  public static var plain: PlainButtonStyle { .init() }
}
extension PrimitiveButtonStyle where Self == BorderlessButtonStyle {
  public static var borderless: BorderlessButtonStyle { .init() }
}
extension PrimitiveButtonStyle where Self == BorderedButtonStyle {
  public static var bordered: BorderedButtonStyle { .init() }
}
extension PrimitiveButtonStyle where Self == BorderedProminentButtonStyle {
  public static var borderedProminent: BorderedProminentButtonStyle { .init() }
}

extension View {
  public func buttonStyle<S: PrimitiveButtonStyle>(_ style: S) -> some View {
    let look = ButtonLook(rawValue: style.look) ?? .automatic
    return surrounded { $0.buttonStyle = look }
  }
  public func buttonBorderShape(_ shape: ButtonBorderShape) -> some View { surrounded { $0.buttonShape = shape } }
  public func controlSize(_ size: ControlSize) -> some View { surrounded { $0.controlSize = size } }
  public func labelsHidden() -> some View { surrounded { $0.hidesLabels = true } }
  public func focused(_ condition: FocusState<Bool>.Binding) -> some View { self }
  public func submitLabel(_ label: SubmitLabel) -> some View { self }
  public func keyboardType(_ type: UIKeyboardType) -> some View { self }
  public func autocorrectionDisabled(_ disable: Bool = true) -> some View { self }
  public func textInputAutocapitalization(_ value: TextInputAutocapitalization?) -> some View { self }
  public func textContentType(_ type: UITextContentType?) -> some View { self }
  public func scrollDismissesKeyboard(_ mode: ScrollDismissesKeyboardMode) -> some View { self }
  public func scrollIndicators(_ visibility: ScrollIndicatorVisibility) -> some View { self }
  public func scrollClipDisabled(_ disabled: Bool = true) -> some View { self }
  public func textFieldStyle<S: TextFieldStyle>(_ style: S) -> some View { self }
}

public enum SubmitLabel: Sendable { case done, go, send }
public struct UIKeyboardType: Sendable {
  // swift-format-ignore: AlwaysUseLowerCamelCase
  public static let URL = UIKeyboardType()
  public static let asciiCapableNumberPad = UIKeyboardType()
}
public struct UITextContentType: Sendable {
  // swift-format-ignore: AlwaysUseLowerCamelCase
  public static let URL = UITextContentType()
}
public enum ScrollDismissesKeyboardMode: Sendable { case immediately, interactively, automatic }
public enum ScrollIndicatorVisibility: Sendable { case automatic, hidden, never }
public struct TextInputAutocapitalization: Sendable {
  public static var never: TextInputAutocapitalization { .init() }
  public static var sentences: TextInputAutocapitalization { .init() }
}
public protocol TextFieldStyle {}
public struct PlainTextFieldStyle: TextFieldStyle {}
extension TextFieldStyle where Self == PlainTextFieldStyle {
  public static var plain: PlainTextFieldStyle { .init() }
}

public struct TextField: DrawnView {
  let title: Text
  let text: Binding<String>

  public init(_ title: LocalizedStringKey, text: Binding<String>, prompt: Text? = nil) {
    (self.title, self.text) = (prompt ?? Text(title), text)
  }
  public init(_ title: LocalizedStringKey, text: Binding<String>, prompt: Text? = nil, axis: Axis) {
    (self.title, self.text) = (prompt ?? Text(title), text)
  }
  public init(_ title: LocalizedStringKey, text: Binding<String>, axis: Axis) {
    (self.title, self.text) = (Text(title), text)
  }

  public func boxes() -> [Box] {
    let typed = text.wrappedValue
    let shown = escape(typed.isEmpty ? title.string : typed)
    var box = Box(markup: shown, classes: typed.isEmpty ? ["field", "empty"] : ["field"])
    box.growsWide = true
    return [box]
  }
}

public struct Slider<Label: View>: DrawnView {
  let fraction: Double

  public init<V: BinaryFloatingPoint>(
    value: Binding<V>, in bounds: ClosedRange<V>, step: V.Stride = 1, @ViewBuilder label: () -> Label,
    onEditingChanged: @escaping (Bool) -> Void = { _ in }
  ) where V.Stride: BinaryFloatingPoint {
    fraction = Double((value.wrappedValue - bounds.lowerBound) / (bounds.upperBound - bounds.lowerBound))
  }

  public func boxes() -> [Box] {
    let done = "<i style=\"width:calc((100% - 28px) * \(fraction) + 14px)\"></i>"
    let knob = "<b style=\"left:calc((100% - 28px) * \(fraction))\"></b>"
    var box = Box(markup: done + knob, classes: ["slider"])
    box.growsWide = true
    return [box]
  }
}

public struct Stepper<Label: View>: DrawnView {
  let label: Label

  public init<V: Strideable>(
    value: Binding<V>, in bounds: ClosedRange<V>, step: V.Stride = 1, @ViewBuilder label: () -> Label,
    onEditingChanged: @escaping (Bool) -> Void = { _ in }
  ) {
    self.label = label()
  }

  public func boxes() -> [Box] {
    let control = Box(markup: "<b>−</b><i></i><b>+</b>", classes: ["stepper"])
    var box = Box(
      .row,
      HStack {
        label
        Spacer()
      }.boxes() + [control], style: ["align-items:center"])
    box.growsWide = true
    return [box]
  }
}

public struct ProgressView: DrawnView {
  let fraction: Double?

  public init() { fraction = nil }
  public init<V: BinaryFloatingPoint>(value: V?, total: V = 1.0) { fraction = value.map { Double($0 / total) } }

  public func boxes() -> [Box] {
    guard let fraction else { return [Box(markup: "", classes: ["spinner"])] }
    var box = Box(markup: "<i style=\"width:\(fraction * 100)%\"></i>", classes: ["progress"])
    box.growsWide = true
    return [box]
  }
}

public protocol ProgressViewStyle {}
public struct LinearProgressViewStyle: ProgressViewStyle {}
extension ProgressViewStyle where Self == LinearProgressViewStyle {
  public static var linear: LinearProgressViewStyle { .init() }
}
extension View {
  public func progressViewStyle<S: ProgressViewStyle>(_ style: S) -> some View { self }
}

public struct Toggle<Label: View>: DrawnView {
  let isOn: Bool
  let label: Label
  public init(isOn: Binding<Bool>, @ViewBuilder label: () -> Label) {
    (self.isOn, self.label) = (isOn.wrappedValue, label())
  }
  public func boxes() -> [Box] { SwiftUI.boxes(of: label) }
}

public struct Menu<Label: View, Content: View>: DrawnView {
  let label: Label
  public init(@ViewBuilder content: () -> Content, @ViewBuilder label: () -> Label) { self.label = label() }
  public func boxes() -> [Box] { [drawButton(SwiftUI.boxes(of: label))] }
}
