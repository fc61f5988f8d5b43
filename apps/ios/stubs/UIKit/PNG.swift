import CoreGraphics
import Foundation

/// A PNG file of eight-bit red, green and blue, its pixels stored as they are.
func portableNetworkGraphic(_ image: CGImage) -> Data {
  var rows: [UInt8] = []
  for row in 0..<image.height {
    rows.append(0)
    rows += image.rgb[3 * image.width * row..<3 * image.width * (row + 1)]
  }
  let header = bytes(image.width) + bytes(image.height) + [8, 2, 0, 0, 0]
  let signature: [UInt8] = [137, 80, 78, 71, 13, 10, 26, 10]
  return Data(signature + chunk("IHDR", header) + chunk("IDAT", stored(rows)) + chunk("IEND", []))
}

private func bytes(_ number: Int) -> [UInt8] {
  [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
}

private func chunk(_ name: String, _ content: [UInt8]) -> [UInt8] {
  let named = Array(name.utf8) + content
  return bytes(content.count) + named + bytes(Int(checksum(named)))
}

/// CRC-32 as PNG has it.
private func checksum(_ bytes: [UInt8]) -> UInt32 {
  var value = UInt32.max
  for byte in bytes {
    value ^= UInt32(byte)
    for _ in 0..<8 { value = value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
  }
  return ~value
}

/// A zlib stream of stored blocks.
private func stored(_ content: [UInt8]) -> [UInt8] {
  var result: [UInt8] = [0x78, 0x01]
  var start = 0
  repeat {
    let end = min(start + 0xFFFF, content.count)
    let (low, high) = (UInt8((end - start) & 0xFF), UInt8((end - start) >> 8))
    result += [end == content.count ? 1 : 0, low, high, ~low, ~high]
    result += content[start..<end]
    start = end
  } while start < content.count
  var (first, second) = (UInt32(1), UInt32(0))
  for byte in content {
    first = (first + UInt32(byte)) % 65521
    second = (second + first) % 65521
  }
  return result + bytes(Int(second << 16 | first))
}
