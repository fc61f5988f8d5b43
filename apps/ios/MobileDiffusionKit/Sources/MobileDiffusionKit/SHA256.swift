import Foundation

#if canImport(CryptoKit)
  import CryptoKit
#endif

/// SHA-256 of bytes that come one after another: CryptoKit's where it is, our own elsewhere.
public struct SHA256 {
  #if canImport(CryptoKit)
    private var hash = CryptoKit.SHA256()
  #else
    private var hash = PortableSHA256()
  #endif

  public init() {}

  /// Adds bytes.
  public mutating func update(_ data: Data) {
    data.withUnsafeBytes { update($0) }
  }

  /// Adds bytes, which are read during the call.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    #if canImport(CryptoKit)
      hash.update(bufferPointer: bytes)
    #else
      hash.update(bytes)
    #endif
  }

  /// The digest as 64 digits of lower case hexadecimal; nothing may be added afterwards.
  public mutating func finalize() -> String {
    hash.finalize().map { byte in String(0x100 + Int(byte), radix: 16).dropFirst() }.joined()
  }
}
