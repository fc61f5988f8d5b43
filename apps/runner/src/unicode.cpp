#include "unicode.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include "unicode_tables.h"

namespace runner::unicode {
namespace {

using tables::ClassRange;
using tables::Composition;
using tables::Mapping;
using tables::Range;

// Syllables of Hangul: S = (L * 21 + V) * 28 + T (The Unicode Standard, section 3.12).
constexpr char32_t syllables = 0xAC00, leads = 0x1100, vowels = 0x1161, tails = 0x11A7;
constexpr char32_t lead_count = 19, vowel_count = 21, tail_count = 28;
constexpr char32_t syllable_count = lead_count * vowel_count * tail_count;

// The range that holds a code point, or none.
template <typename Row>
const Row* find_range(std::span<const Row> rows, char32_t point) {
  const auto after = std::upper_bound(rows.begin(), rows.end(), point,
                                      [](char32_t value, const Row& row) { return value < row.first; });
  if (after == rows.begin() || point > std::prev(after)->last) return nullptr;
  return &*std::prev(after);
}

const Mapping* find_mapping(std::span<const Mapping> rows, char32_t point) {
  const auto found = std::lower_bound(rows.begin(), rows.end(), point,
                                      [](const Mapping& row, char32_t value) { return row.from < value; });
  return found != rows.end() && found->from == point ? &*found : nullptr;
}

// Appends what a table makes of a character: the character itself where the table is silent.
void append_mapped(std::u32string& text, std::span<const Mapping> rows, char32_t point) {
  const Mapping* found = find_mapping(rows, point);
  if (found == nullptr) {
    text += point;
    return;
  }
  for (const char32_t one : found->to) {
    if (one != 0) text += one;
  }
}

void append_syllable(std::u32string& text, char32_t index) {
  text += leads + index / (vowel_count * tail_count);
  text += vowels + index % (vowel_count * tail_count) / tail_count;
  if (index % tail_count != 0) text += tails + index % tail_count;
}

char32_t combining_class(char32_t point) {
  const ClassRange* found = find_range(tables::combining_classes, point);
  return found == nullptr ? 0 : found->combining_class;
}

// Sorts every run of marks by class; marks of one class stay in order.
void order_marks(std::u32string& text) {
  for (std::size_t i = 0; i < text.size();) {
    if (combining_class(text[i]) == 0) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && combining_class(text[end]) != 0) ++end;
    std::stable_sort(text.begin() + static_cast<std::ptrdiff_t>(i), text.begin() + static_cast<std::ptrdiff_t>(end),
                     [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    i = end;
  }
}

// The character that two become, or 0.
char32_t composed(char32_t first, char32_t second) {
  if (first - leads < lead_count && second - vowels < vowel_count) {
    return syllables + ((first - leads) * vowel_count + (second - vowels)) * tail_count;
  }
  const bool open = first - syllables < syllable_count && (first - syllables) % tail_count == 0;
  if (open && second > tails && second < tails + tail_count) return first + (second - tails);
  const auto before = [](const Composition& row, const std::pair<char32_t, char32_t>& pair) {
    return std::pair(row.first, row.second) < pair;
  };
  const auto rows = tables::compositions;
  const auto found = std::lower_bound(rows.begin(), rows.end(), std::pair(first, second), before);
  return found != rows.end() && found->first == first && found->second == second ? found->composed : 0;
}

bool holds(std::span<const Range> ranges, char32_t point) { return find_range(ranges, point) != nullptr; }

}  // namespace

bool is_letter(char32_t point) { return holds(tables::letters, point); }
bool is_number(char32_t point) { return holds(tables::numbers, point); }
bool is_space(char32_t point) { return holds(tables::spaces, point); }
bool is_control(char32_t point) { return holds(tables::controls, point); }
bool is_han(char32_t point) { return holds(tables::han, point); }
bool is_mark(char32_t point) { return holds(tables::marks, point); }
bool is_punctuation(char32_t point) { return holds(tables::punctuation, point); }

std::u32string lower_case(std::u32string_view text) {
  std::u32string result;
  for (const char32_t point : text) append_mapped(result, tables::lower_case, point);
  return result;
}

std::u32string decompose(std::u32string_view text) {
  std::u32string result;
  for (const char32_t point : text) {
    if (point - syllables < syllable_count) {
      append_syllable(result, point - syllables);
    } else {
      append_mapped(result, tables::decompositions, point);
    }
  }
  order_marks(result);
  return result;
}

std::u32string compose(std::u32string_view text) {
  const std::u32string parts = decompose(text);
  std::u32string result;
  std::size_t starter = 0;
  bool has_starter = false;
  char32_t last = 0;  // class of the last mark that stayed behind the starter
  for (const char32_t point : parts) {
    const char32_t number = combining_class(point);
    const bool adjacent = has_starter && result.size() == starter + 1;
    if (has_starter && (adjacent || last < number)) {
      if (const char32_t one = composed(result[starter], point); one != 0) {
        result[starter] = one;
        continue;
      }
    }
    if (number == 0) {
      starter = result.size();
      has_starter = true;
    }
    last = number;
    result += point;
  }
  return result;
}

}  // namespace runner::unicode
