#include "png.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace runner {
namespace {

constexpr std::size_t largest_block = 65535;  // of stored data, RFC 1951

std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 255);
  return bytes;
}

std::string little_endian16(std::size_t value) {
  return {static_cast<char>(value & 255), static_cast<char>(value >> 8 & 255)};
}

std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table;
  for (std::uint32_t n = 0; n < 256; ++n) {
    std::uint32_t value = n;
    for (int bit = 0; bit < 8; ++bit) value = (value & 1) != 0 ? 0xEDB88320 ^ value >> 1 : value >> 1;
    table[n] = value;
  }
  return table;
}

std::uint32_t crc32(std::string_view bytes) {
  static const auto table = crc_table();
  std::uint32_t value = 0xFFFFFFFF;
  for (const char byte : bytes) value = table[(value ^ static_cast<unsigned char>(byte)) & 255] ^ value >> 8;
  return ~value;
}

std::uint32_t adler32(std::string_view bytes) {
  std::uint32_t a = 1, b = 0;
  for (const char byte : bytes) {
    a = (a + static_cast<unsigned char>(byte)) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

std::string chunk(std::string_view type, std::string_view data) {
  const std::string body = std::string(type) + std::string(data);
  return big_endian(static_cast<std::uint32_t>(data.size())) + body + big_endian(crc32(body));
}

// A zlib stream (RFC 1950) of stored blocks.
std::string stored(std::string_view bytes) {
  std::string stream = "\x78\x01";
  for (std::size_t start = 0; start < bytes.size(); start += largest_block) {
    const std::string_view block = bytes.substr(start, largest_block);
    stream += start + block.size() == bytes.size() ? '\1' : '\0';
    stream += little_endian16(block.size()) + little_endian16(~block.size() & 0xFFFF);
    stream += block;
  }
  return stream + big_endian(adler32(bytes));
}

// Every row of pixels behind its filter type, 0 for none.
std::string rows_of(const Picture& picture) {
  const auto length = static_cast<std::size_t>(3 * picture.width);
  std::string rows;
  for (std::size_t start = 0; start < picture.pixels.size(); start += length) {
    rows += '\0';
    rows.append(reinterpret_cast<const char*>(picture.pixels.data()) + start, length);
  }
  return rows;
}

}  // namespace

std::string to_png(const Picture& picture) {
  const std::string size =
      big_endian(static_cast<std::uint32_t>(picture.width)) + big_endian(static_cast<std::uint32_t>(picture.height));
  const std::string form("\x08\x02\x00\x00\x00", 5);  // 8 bits, red green blue, no interlacing
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", size + form) + chunk("IDAT", stored(rows_of(picture))) + chunk("IEND", "");
}

}  // namespace runner
