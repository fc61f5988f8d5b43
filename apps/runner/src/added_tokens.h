// Tokens that are looked for in the text before it is split into words: special ones, and those of textual inversion.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "json.h"

namespace runner {

using Normalize = std::function<std::u32string(std::u32string_view)>;

// A stretch of a prompt: an added token, or normalized text.
struct Stretch {
  std::optional<std::int32_t> id;
  std::u32string text;
};

class AddedTokens {
 public:
  // Reads "added_tokens" of a tokenizer.json; throws Error for a flag that is not supported here.
  AddedTokens(const Json& list, Normalize normalize);

  // The prompt in order: tokens that are found as typed, then tokens that are found in normalized text.
  std::vector<Stretch> split(const std::u32string& prompt) const;

  // Ids by content.
  const std::map<std::string, std::int32_t>& ids() const { return ids_; }

 private:
  struct Token {
    std::u32string content;
    std::int32_t id;
    bool strip_left, strip_right;
  };

  static const Token* longest_at(const std::vector<Token>& tokens, const std::u32string& text, std::size_t place);
  static std::vector<Stretch> find(const std::vector<Token>& tokens, const std::u32string& text);

  std::vector<Token> typed_, normalized_;
  Normalize normalize_;
  std::map<std::string, std::int32_t> ids_;
};

}  // namespace runner
