// UTF-8 to code points and back.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace runner {

// The code points of a text, or nothing when it is not UTF-8: cut off, over-long, a surrogate, above U+10FFFF.
std::optional<std::u32string> decode_utf8(std::string_view text);

std::string encode_utf8(std::u32string_view points);

}  // namespace runner
