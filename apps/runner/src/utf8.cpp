#include "utf8.h"

namespace runner {
namespace {

// Bytes of the character that a byte begins; 0 for a byte that begins none.
int length_of(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return 2;
  if (first >= 0xE0 && first < 0xF0) return 3;
  return first >= 0xF0 && first < 0xF5 ? 4 : 0;
}

bool is_character(char32_t point, int length) {
  constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  return point >= smallest[length] && point <= 0x10FFFF && !(point >= 0xD800 && point <= 0xDFFF);
}

}  // namespace

std::optional<std::u32string> decode_utf8(std::string_view text) {
  std::u32string points;
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const int length = length_of(first);
    if (length == 0 || i + length > text.size()) return std::nullopt;
    char32_t point = length == 1 ? first : first & (0x7F >> length);
    for (int k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0) != 0x80) return std::nullopt;
      point = point << 6 | (next & 0x3F);
    }
    if (!is_character(point, length)) return std::nullopt;
    points += point;
    i += length;
  }
  return points;
}

std::string encode_utf8(std::u32string_view points) {
  std::string text;
  for (const char32_t point : points) {
    if (point < 0x80) {
      text += static_cast<char>(point);
      continue;
    }
    const int length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    text += static_cast<char>((0xF00 >> length) | point >> 6 * (length - 1));
    for (int k = length - 2; k >= 0; --k) text += static_cast<char>(0x80 | (point >> 6 * k & 0x3F));
  }
  return text;
}

}  // namespace runner
