// Characters and texts as Python's tokenizers see them: classes, lower case, normal forms C and D.
#pragma once

#include <string>
#include <string_view>

namespace runner::unicode {

bool is_letter(char32_t point);
bool is_number(char32_t point);
bool is_space(char32_t point);
bool is_control(char32_t point);
bool is_han(char32_t point);
bool is_mark(char32_t point);
bool is_punctuation(char32_t point);

std::u32string lower_case(std::u32string_view text);
// Normal form D: decomposed, marks in order.
std::u32string decompose(std::u32string_view text);
// Normal form C: decomposed, then composed.
std::u32string compose(std::u32string_view text);

}  // namespace runner::unicode
