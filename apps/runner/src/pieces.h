// A prompt with weights, cut into pieces of one weight each (mobile_diffusion/prompts).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace runner {

enum class Syntax { plain, a1111, compel };

// Text of one weight; or a break, which ends a window.
struct Piece {
  std::u32string text;
  double weight = 1;
  bool is_break = false;
};

// Weights as AUTOMATIC1111's web UI writes them, (word), [word], (word:1.3) and BREAK, and as Compel writes them, word++,
// word--, (words)1.3. Throw Error for a weight that cannot be used.
std::vector<Piece> parse_a1111(const std::u32string& prompt);
std::vector<Piece> parse_compel(const std::u32string& prompt);

// The syntax of a name; throws Error for another.
Syntax syntax_of(const std::string& name);

// What both parsers share: a prompt that is short enough, the number of a text, and neighbours of one weight joined.
void check_short(const std::u32string& prompt);
double weight_of(std::u32string_view number);
std::vector<Piece> fused(const std::vector<Piece>& pieces, const std::u32string& between);

}  // namespace runner
