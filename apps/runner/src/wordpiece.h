// BERT's tokenizer, the emoji model's: lower case, accents stripped, words split greedily into pieces of a vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "added_tokens.h"
#include "json.h"
#include "tokens.h"

namespace runner {

class WordPieceTokenizer : public OneTokenizer {
 public:
  // Throws Error when `definition` is not such a tokenizer, or has settings that this one does not.
  WordPieceTokenizer(const Json& definition, std::int64_t length);

 protected:
  std::vector<std::int32_t> ids(const std::u32string& prompt) const override;

 private:
  std::int32_t special(const std::string& token) const;
  void append_word(std::vector<std::int32_t>& ids, std::u32string_view word) const;

  std::unordered_map<std::string, std::int32_t> vocabulary_;
  std::unique_ptr<AddedTokens> added_;
  std::size_t longest_word_ = 0;
  std::int32_t start_ = 0;
};

}  // namespace runner
