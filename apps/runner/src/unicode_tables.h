// Tables of characters as the tokenizers library has them; sorted by their first column.
#pragma once

#include <array>
#include <span>

namespace runner::tables {

struct Range {
  char32_t first;
  char32_t last;
};

// A character, and up to four that replace it; unused places are 0.
struct Mapping {
  char32_t from;
  std::array<char32_t, 4> to;
};

struct Composition {
  char32_t first;
  char32_t second;
  char32_t composed;
};

struct ClassRange {
  char32_t first;
  char32_t last;
  char32_t combining_class;
};

extern const std::span<const Range> letters, numbers, spaces, controls, han, marks, punctuation;
extern const std::span<const Mapping> lower_case, decompositions;
extern const std::span<const Composition> compositions;
extern const std::span<const ClassRange> combining_classes;

}  // namespace runner::tables
