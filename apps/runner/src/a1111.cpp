// An open bracket reaches to the end; a closing one without an open one is text. A backslash makes the next bracket a
// character. BREAK inside brackets that change its own weight of -1 is a word, as in the original.
#include "error.h"
#include "pieces.h"
#include "quote.h"
#include "unicode.h"
#include "utf8.h"

namespace runner {
namespace {

constexpr double up = 1.1, down = 1 / 1.1, break_weight = -1;
const std::u32string break_word = U"BREAK", brackets = U"()[]";

bool is_digit(char32_t point) { return point >= U'0' && point <= U'9'; }

// The length of ":1.3)" at a place, or 0.
std::size_t weight_at(const std::u32string& text, std::size_t at) {
  std::size_t end = at + 1;
  if (end < text.size() && (text[end] == U'+' || text[end] == U'-')) ++end;
  const std::size_t first = end;
  while (end < text.size() && (is_digit(text[end]) || text[end] == U'.')) ++end;
  return end > first && end < text.size() && text[end] == U')' ? end + 1 - at : 0;
}

double checked_weight(const std::u32string& number) {
  const std::size_t first = number.find_first_of(U"0123456789");
  const bool one_point = number.find(U'.') == number.rfind(U'.');
  require(first != std::u32string::npos && one_point,
          "prompt: expected a weight such as 1.3 after a colon, got " + quote(encode_utf8(number)));
  return weight_of(number);
}

class Parser {
 public:
  explicit Parser(const std::u32string& text) : text_(text) {}

  std::vector<Piece> parse() {
    for (std::size_t at = 0; at < text_.size();) at = read(at);
    for (const std::size_t start : round_) multiply(start, up);
    for (const std::size_t start : square_) multiply(start, down);
    for (Piece& each : pieces_) each.is_break = each.text == break_word && each.weight == break_weight;
    return fused(pieces_, U"");
  }

 private:
  // Reads what stands at a place, and returns where it ends.
  std::size_t read(std::size_t at) {
    const char32_t one = text_[at];
    if (one == U'\\') return escaped(at);
    if (one == U'(') round_.push_back(pieces_.size());
    if (one == U'[') square_.push_back(pieces_.size());
    if (one == U'(' || one == U'[') return at + 1;
    if (one == U':') return colon(at);
    if (one == U')' || one == U']') {
      auto& open = one == U')' ? round_ : square_;
      if (open.empty()) return add(at, at + 1);
      close(open, one == U')' ? up : down);
      return at + 1;
    }
    std::size_t end = at;
    while (end < text_.size() && (brackets + U"\\:").find(text_[end]) == std::u32string::npos) ++end;
    return add(at, end);
  }

  std::size_t escaped(std::size_t at) {
    const bool special = at + 1 < text_.size() && (brackets + U"\\").find(text_[at + 1]) != std::u32string::npos;
    pieces_.push_back({special ? text_.substr(at + 1, 1) : U""});
    return at + (special ? 2 : 1);
  }

  std::size_t colon(std::size_t at) {
    const std::size_t length = weight_at(text_, at);
    if (length == 0) return add(at, at + 1);
    if (round_.empty()) return add(at, at + length);
    close(round_, checked_weight(text_.substr(at + 1, length - 2)));
    return at + length;
  }

  void close(std::vector<std::size_t>& open, double factor) {
    multiply(open.back(), factor);
    open.pop_back();
  }

  void multiply(std::size_t start, double factor) {
    for (std::size_t i = start; i < pieces_.size(); ++i) pieces_[i].weight *= factor;
  }

  bool is_word(std::size_t at) const {
    return at < text_.size() && (unicode::is_letter(text_[at]) || unicode::is_number(text_[at]) || text_[at] == U'_');
  }

  // Text without brackets, and a break between its parts.
  std::size_t add(std::size_t start, std::size_t end) {
    for (std::size_t at = start;;) {
      const std::size_t found = text_.find(break_word, at);
      const std::size_t after = found + break_word.size();
      if (found == std::u32string::npos || after > end) break;
      at = found + 1;
      if ((found > start && is_word(found - 1)) || (after < end && is_word(after))) continue;
      pieces_.push_back({text_.substr(start, found - start)});
      pieces_.push_back({break_word, break_weight});
      start = at = after;
    }
    pieces_.push_back({text_.substr(start, end - start)});
    return end;
  }

  const std::u32string& text_;
  std::vector<Piece> pieces_;
  std::vector<std::size_t> round_, square_;
};

}  // namespace

std::vector<Piece> parse_a1111(const std::u32string& prompt) {
  check_short(prompt);
  return Parser(prompt).parse();
}

}  // namespace runner
