import Foundation

/// Gaussian noise that is the same in every language: Philox4x32-10 and Box-Muller.
public enum Noise {
  private static let multipliers: (UInt64, UInt64) = (0xD251_1F53, 0xCD9E_8D57)
  private static let weyl: (UInt32, UInt32) = (0x9E37_79B9, 0xBB67_AE85)
  private static let rounds = 10

  /// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): four random words for a
  /// counter of four words, the least significant first.
  static func philox(key: (UInt32, UInt32), counter: SIMD4<UInt32>) -> SIMD4<UInt32> {
    var (key, words) = (key, counter)
    for _ in 0..<rounds {
      let product0 = UInt64(words[0]) * multipliers.0
      let product1 = UInt64(words[2]) * multipliers.1
      words = SIMD4(
        high(product1) ^ words[1] ^ key.0, low(product1), high(product0) ^ words[3] ^ key.1, low(product0))
      key = (key.0 &+ weyl.0, key.1 &+ weyl.1)
    }
    return words
  }

  /// `count` normal deviates in C order.
  ///
  /// A sampler that adds noise at its steps takes tensors 1, 2, ... of the same seed: each begins at the first block of
  /// four that the one before has not touched.
  public static func gaussian(seed: UInt64, count: Int, tensor: UInt64 = 0) -> [Float] {
    let blocks = UInt64((count + 3) / 4)
    var deviates: [Float] = []
    deviates.reserveCapacity(4 * Int(blocks))
    for block in tensor * blocks..<(tensor + 1) * blocks {
      let words = philox(key: (low(seed), high(seed)), counter: SIMD4(low(block), high(block), 0, 0))
      appendDeviates(words[0], words[1], to: &deviates)
      appendDeviates(words[2], words[3], to: &deviates)
    }
    return Array(deviates.prefix(count))
  }

  /// Box-Muller: two deviates from two words, in float64; never the logarithm of 0.
  private static func appendDeviates(_ first: UInt32, _ second: UInt32, to deviates: inout [Float]) {
    let (u1, u2) = ((Double(first) + 0.5) / 4_294_967_296, (Double(second) + 0.5) / 4_294_967_296)
    let (radius, angle) = ((-2 * log(u1)).squareRoot(), 2 * Double.pi * u2)
    deviates.append(Float(radius * cos(angle)))
    deviates.append(Float(radius * sin(angle)))
  }

  private static func low(_ value: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: value) }
  private static func high(_ value: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: value >> 32) }
}
