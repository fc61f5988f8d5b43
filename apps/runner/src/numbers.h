// Numbers to text and back, with a point as decimal separator whatever the locale.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

namespace runner {

// The number that all of `text` is, or nothing.
template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

// The shortest text that is read back as the same number.
template <typename Number>
std::string format_number(Number value) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

}  // namespace runner
