/// A rectangle of a rendering: an element of a page, and how it takes part in its parent's layout.
public struct Box {
  /// How children lie.
  enum Axis: String {
    case row, column
    /// One on the other.
    case pile

    /// What a child that takes all the width is told.
    var wide: String {
      switch self {
      case .row: "flex:1 1 0;min-width:0"
      case .column: "align-self:stretch"
      case .pile: "justify-self:stretch"
      }
    }

    /// What a child that takes all the height is told.
    var high: String {
      switch self {
      case .row, .pile: "align-self:stretch"
      case .column: "flex:1 1 0;min-height:0"
      }
    }
  }

  enum Content {
    case children([Box])
    /// Escaped already.
    case markup(String)
  }

  var axis = Axis.column
  var content: Content
  var style: [String] = []
  var classes: [String] = []
  /// Whether it takes all the width, or height, that it is offered.
  var growsWide = false
  var growsHigh = false
  /// What `tag(_:)` or ForEach said.
  var tag: AnyHashable?
  /// What a TabView shows for it.
  var tabItem: [Box]?
  /// A row without a card.
  var isBare = false
  /// A Section of a list.
  var isSection = false
  /// What VoiceOver says instead of its content.
  var label: String?

  init(_ axis: Axis = .column, _ children: [Box], style: [String] = [], classes: [String] = []) {
    (self.axis, self.style, self.classes) = (axis, style, classes)
    content = .children(children)
    growsWide = children.contains(where: \.growsWide)
    growsHigh = children.contains(where: \.growsHigh)
  }

  init(markup: String, style: [String] = [], classes: [String] = []) {
    (self.style, self.classes) = (style, classes)
    content = .markup(markup)
  }

  /// A box around this one that keeps what a parent asks of it.
  func wrapped(_ style: String..., classes: [String] = []) -> Box {
    var box = Box(.column, [self], style: style, classes: classes)
    (box.tag, box.tabItem, box.isSection) = (tag, tabItem, isSection)
    return box
  }

  /// The element, inside a parent with an axis.
  func html(in parent: Axis = .column) -> String {
    var style = style
    if growsWide { style.append(parent.wide) }
    if growsHigh { style.append(parent.high) }
    let names = ([axis.rawValue] + classes).joined(separator: " ")
    let aria = label.map { " aria-label=\"\(escape($0))\"" } ?? ""
    let inside =
      switch content {
      case .children(let children): children.map { $0.html(in: axis) }.joined()
      case .markup(let text): text
      }
    return "<div class=\"\(names)\" style=\"\(style.joined(separator: ";"))\"\(aria)>\(inside)</div>"
  }
}

/// Text as it stands in a page.
func escape(_ text: String) -> String {
  var result = ""
  for character in text {
    switch character {
    case "<": result += "&lt;"
    case "&": result += "&amp;"
    case "\"": result += "&quot;"
    default: result.append(character)
    }
  }
  return result
}
