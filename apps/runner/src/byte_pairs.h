// Byte-pair encoding of one word: its symbols are merged, the pair of the lowest rank first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "json.h"

namespace runner {

class BytePairs {
 public:
  // Reads "model" of a tokenizer.json; throws Error when a merge is of symbols that the vocabulary does not have.
  explicit BytePairs(const Json& model);

  // The ids of a word in UTF-8.
  std::vector<std::int32_t> encode(std::string_view word) const;

  // The id of a token of the vocabulary, if it is one.
  std::optional<std::int32_t> id(const std::string& token) const;

 private:
  struct Merge {
    std::int32_t rank, id;
  };

  const Merge* merge(std::int32_t left, std::int32_t right) const;
  std::vector<std::int32_t> symbols(std::string_view word) const;

  std::unordered_map<std::string, std::int32_t> vocabulary_;
  std::unordered_map<std::uint64_t, Merge> merges_;
  std::string word_end_;
  std::optional<std::int32_t> unknown_;
};

}  // namespace runner
