// A prompt becomes a fixed number of token ids: which prompts are read, and how ids are made to fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "manifest.h"

namespace runner {

inline constexpr std::size_t max_characters = 1'000'000;

// A prompt as the text encoder reads it; of SDXL's two tokenizers, the second's L numbers follow the first's.
struct Tokens {
  std::vector<std::int32_t> ids;   // L: start token, words, end token, padding
  std::vector<std::int32_t> mask;  // L: 1 where `ids` holds a token
  std::size_t count = 0;           // tokens before they were cut; more than L means that the prompt's end is ignored
  bool known = true;               // false when the prompt has characters, and no word that the model knows
};

class OneTokenizer;

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // A UTF-8 prompt in exactly L tokens; throws Error when it is not text that every language reads alike.
  virtual Tokens encode(std::string_view prompt) const = 0;

  // The tokenizer of each text encoder.
  virtual std::vector<const OneTokenizer*> parts() const = 0;
};

class OneTokenizer : public Tokenizer {
 public:
  Tokens encode(std::string_view prompt) const override;
  std::vector<const OneTokenizer*> parts() const override { return {this}; }

  std::size_t length() const { return length_; }
  // All ids of a text, without start and end.
  std::vector<std::int32_t> words(const std::u32string& text) const;
  // At most L - 2 ids between start and end token, padded.
  Tokens window(const std::vector<std::int32_t>& ids) const;

 protected:
  explicit OneTokenizer(std::int64_t length);
  // All ids of a prompt, start and end included.
  virtual std::vector<std::int32_t> ids(const std::u32string& prompt) const = 0;

  std::int32_t end_ = 0, padding_ = 0;
  std::optional<std::int32_t> unknown_;  // the token of words that the vocabulary lacks; CLIP's lacks none

 private:
  Tokens framed(std::vector<std::int32_t> ids) const;

  std::size_t length_;
};

// Opens the tokenizer files of the kind that the manifest names; throws Error for another kind or a malformed file.
std::unique_ptr<Tokenizer> open_tokenizer(const TokenizerSpec& spec, const std::vector<std::filesystem::path>& files);

}  // namespace runner
