#include "pieces.h"

#include <cmath>
#include <limits>

#include "error.h"
#include "numbers.h"
#include "quote.h"
#include "utf8.h"

namespace runner {
namespace {

constexpr double max_weight = 100;
constexpr std::size_t max_weighted = 10'000;

}  // namespace

Syntax syntax_of(const std::string& name) {
  if (name == "plain") return Syntax::plain;
  if (name == "a1111") return Syntax::a1111;
  require(name == "compel", "prompt syntax: expected one of plain, a1111, compel, got " + quote(name));
  return Syntax::compel;
}

void check_short(const std::u32string& prompt) {
  require(prompt.size() <= max_weighted, "expected a prompt with weights of at most 10,000 characters, got " +
                                             std::to_string(prompt.size()) + ": shorten it");
}

double weight_of(std::u32string_view number) {
  if (!number.empty() && number.front() == U'+') number.remove_prefix(1);
  const std::string text = encode_utf8(number);
  return parse_number<double>(text).value_or(std::numeric_limits<double>::infinity());  // of too many digits
}

std::vector<Piece> fused(const std::vector<Piece>& pieces, const std::u32string& between) {
  std::vector<Piece> result;
  for (const Piece& piece : pieces) {
    require(piece.is_break || std::abs(piece.weight) <= max_weight,
            "prompt: expected weights from -100 to 100, got " + format_number(piece.weight) + "; lower it");
    const bool apart = result.empty() || result.back().is_break || piece.is_break;
    if (apart || result.back().weight != piece.weight) {
      result.push_back(piece);
    } else {
      result.back().text += between + piece.text;
    }
  }
  if (result.empty()) result.emplace_back();
  return result;
}

}  // namespace runner
