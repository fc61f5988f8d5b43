/// Seeds as people type and read them: up to twenty digits, whatever the language of the phone.
public enum Seed {
  /// A seed that is short enough to be told to a friend: below a million.
  public static func random() -> UInt64 {
    UInt64.random(in: 0..<1_000_000)
  }

  /// The number that a text field holds; nil unless it is 0 to 18,446,744,073,709,551,615 in ASCII digits.
  public static func read(_ text: String) -> UInt64? {
    let digits = text.utf8
    guard !digits.isEmpty, digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
      return nil
    }
    return UInt64(text)
  }
}
