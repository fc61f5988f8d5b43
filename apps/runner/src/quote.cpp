#include "quote.h"

namespace runner {
namespace {

constexpr std::size_t shown = 60;

}  // namespace

std::string quote(std::string_view text) {
  std::string result = "'";
  for (const char one : text.substr(0, shown)) {
    const auto byte = static_cast<unsigned char>(one);
    result += byte < 0x20 || byte == 0x7F ? '?' : one;
  }
  return result + (text.size() > shown ? "...'" : "'");
}

}  // namespace runner
