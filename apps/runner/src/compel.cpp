// What does not parse, such as an unbalanced bracket, is text up to the next space. A plus multiplies by 1.1, a minus by
// 0.9, a number behind brackets or quotes by itself.
#include <optional>

#include "error.h"
#include "pieces.h"
#include "unicode.h"
#include "utf8.h"

namespace runner {
namespace {

const std::u32string space = U" \t\n\r\v\f", syntax = U"(),.\"+-=";
constexpr int most_depth = 100;

struct Read {
  std::vector<Piece> pieces;
  std::size_t end = 0;
};

bool is_in(char32_t point, const std::u32string& points) { return points.find(point) != std::u32string::npos; }
bool is_digit(char32_t point) { return point >= U'0' && point <= U'9'; }

// The text with a space after each comma that has none; of two commas in a row only after the first.
std::u32string spaced(const std::u32string& text) {
  std::u32string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    result += text[i];
    if (text[i] != U',' || i + 1 == text.size() || unicode::is_space(text[i + 1])) continue;
    result += U' ';
    result += text[++i];
  }
  return result;
}

Piece literal(std::u32string_view text) {
  std::u32string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::size_t end = i;
    while (end < text.size() && text[end] == U'\\') ++end;
    if (end > i && end < text.size() && is_in(text[end], U"()\"")) i = end;
    result += text[i];
  }
  return {result};
}

class Parser {
 public:
  explicit Parser(std::u32string text) : text_(std::move(text)) {}

  std::vector<Piece> parse() const {
    std::vector<Piece> pieces;
    for (std::size_t at = 0; at < text_.size();) {
      if (is_in(text_[at], space)) {
        ++at;
        continue;
      }
      const Read found = part(at, 0).value_or(free_word(at));
      pieces.insert(pieces.end(), found.pieces.begin(), found.pieces.end());
      at = found.end;
    }
    return pieces;
  }

  // As much as can be read in brackets or quotes; it ends in front of what cannot.
  Read inside(std::size_t at, int depth) const {
    require(depth <= most_depth, "prompt: expected at most 100 brackets inside each other, got more; remove some");
    Read all{{}, at};
    while (all.end < text_.size()) {
      if (is_in(text_[all.end], space)) {
        ++all.end;
        continue;
      }
      std::optional<Read> found = part(all.end, depth);
      if (!found) found = word(all.end);
      if (!found && is_in(text_[all.end], U",.")) found = Read{{{text_.substr(all.end, 1)}}, all.end + 1};
      if (!found) break;
      all.pieces.insert(all.pieces.end(), found->pieces.begin(), found->pieces.end());
      all.end = found->end;
    }
    return all;
  }

 private:
  char32_t at_or_nul(std::size_t at) const { return at < text_.size() ? text_[at] : U'\0'; }

  // Brackets, quotes or a word: with an operator, or of the first two also without.
  std::optional<Read> part(std::size_t at, int depth) const {
    std::optional<Read> group = bracketed(at, depth);
    if (!group) group = quoted(at, depth);
    if (group) return weighted(*group, true).value_or(*group);
    const std::optional<Read> found = word(at);
    return found ? weighted(*found, false) : std::nullopt;
  }

  // The target with the weight of the operator that follows it at once; nothing without one.
  std::optional<Read> weighted(Read target, bool numbers) const {
    const char32_t sign = at_or_nul(target.end);
    double weight = 1;
    if (sign == U'+' || sign == U'-') {
      for (; at_or_nul(target.end) == sign; ++target.end) weight *= sign == U'+' ? 1.1 : 0.9;
    } else {
      const std::size_t end = numbers ? number_end(target.end) : target.end;
      if (end == target.end) return std::nullopt;
      weight = weight_of(std::u32string_view(text_).substr(target.end, end - target.end));
      target.end = end;
    }
    for (Piece& each : target.pieces) each.weight *= weight;
    return target;
  }

  // The end of "12", "1.", "1.5" or ".5" at a place.
  std::size_t number_end(std::size_t at) const {
    std::size_t end = at;
    while (is_digit(at_or_nul(end))) ++end;
    if (at_or_nul(end) != U'.' || (end == at && !is_digit(at_or_nul(end + 1)))) return end;
    ++end;
    while (is_digit(at_or_nul(end))) ++end;
    return end;
  }

  std::optional<Read> bracketed(std::size_t at, int depth) const {
    if (text_[at] != U'(') return std::nullopt;
    Read found = inside(at + 1, depth + 1);
    if (at_or_nul(found.end++) != U')') return std::nullopt;
    return found;
  }

  std::optional<Read> quoted(std::size_t at, int depth) const {
    if (text_[at] != U'"') return std::nullopt;
    std::size_t end = at + 1;
    while (end < text_.size() && !is_in(text_[end], U"\"\n\r")) {
      end += text_[end] == U'\\' && at_or_nul(end + 1) == U'"' ? 2 : 1;
    }
    if (at_or_nul(end) != U'"') return std::nullopt;
    const Parser content(text_.substr(at + 1, end - at - 1));
    Read found = content.inside(0, depth + 1);
    if (found.end != content.text_.size()) return std::nullopt;
    if (found.pieces.empty()) found.pieces.emplace_back();
    return Read{found.pieces, end + 1};
  }

  // A word without syntax, which a backslash, or of + and - a character behind it, makes part of a word.
  std::optional<Read> word(std::size_t at) const {
    std::size_t end = at;
    while (end < text_.size()) {
      const char32_t one = text_[end];
      const bool more = end + 1 < text_.size();
      const char32_t following = at_or_nul(end + 1);
      if (one == U'\\' && more && is_in(following, syntax)) {
        end += 2;
      } else if ((one == U'+' || one == U'-') && more && !is_in(following, space + syntax)) {
        ++end;
      } else if (!is_in(one, space + syntax)) {
        ++end;
      } else {
        break;
      }
    }
    if (end == at) return std::nullopt;
    return Read{{literal(std::u32string_view(text_).substr(at, end - at))}, end};
  }

  Read free_word(std::size_t at) const {
    std::size_t end = at;
    while (end < text_.size() && !is_in(text_[end], space)) ++end;
    return {{literal(std::u32string_view(text_).substr(at, end - at))}, end};
  }

  std::u32string text_;
};

}  // namespace

std::vector<Piece> parse_compel(const std::u32string& prompt) {
  check_short(prompt);
  for (const char32_t* name : {U".attend(", U".swap(", U".blend(", U".and(", U".add(", U"withLora(", U"useLora("}) {
    require(prompt.find(name) == std::u32string::npos, "prompt: expected weights alone of Compel's syntax, got \"" +
                                                           encode_utf8(name) + "\"; remove it");
  }
  return fused(Parser(spaced(prompt)).parse(), U" ");
}

}  // namespace runner
