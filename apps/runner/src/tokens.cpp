#include "tokens.h"

#include <algorithm>
#include <utility>

#include "clip.h"
#include "error.h"
#include "files.h"
#include "json.h"
#include "quote.h"
#include "unicode.h"
#include "utf8.h"
#include "wordpiece.h"

namespace runner {
namespace {

constexpr std::int64_t least_length = 3, greatest_length = 1 << 20;

std::u32string checked(std::string_view prompt) {
  const auto points = decode_utf8(prompt);
  require(points.has_value(),
          "expected a prompt of valid Unicode in UTF-8, got other bytes: encode the prompt as UTF-8");
  require(points->size() <= max_characters,
          "expected a prompt of at most 1,000,000 characters, got " + std::to_string(points->size()) + ": shorten it");
  const std::size_t nul = points->find(U'\0');
  require(nul == std::u32string::npos,
          "expected a prompt without NUL bytes, got one at character " + std::to_string(nul) + ": remove it");
  return *points;
}

// Whether the tokens between start and end tell the model anything, or there is nothing to tell.
bool is_known(const std::vector<std::int32_t>& ids, std::optional<std::int32_t> unknown, const std::u32string& prompt) {
  const bool told = std::any_of(ids.begin() + 1, ids.end() - 1, [&](std::int32_t id) { return id != unknown; });
  return told || std::all_of(prompt.begin(), prompt.end(), unicode::is_space);
}

// The tokenizers of SDXL's two text encoders, which read the same prompt.
class TokenizerPair : public Tokenizer {
 public:
  TokenizerPair(std::unique_ptr<Tokenizer> first, std::unique_ptr<Tokenizer> second)
      : first_(std::move(first)), second_(std::move(second)) {}

  Tokens encode(std::string_view prompt) const override {
    Tokens both = first_->encode(prompt);
    const Tokens second = second_->encode(prompt);
    both.ids.insert(both.ids.end(), second.ids.begin(), second.ids.end());
    both.mask.insert(both.mask.end(), second.mask.begin(), second.mask.end());
    both.count = std::max(both.count, second.count);
    return both;
  }

  std::vector<const OneTokenizer*> parts() const override {
    return {first_->parts().front(), second_->parts().front()};
  }

 private:
  std::unique_ptr<Tokenizer> first_, second_;
};

std::unique_ptr<Tokenizer> open_one(const std::string& kind, std::int64_t length, const std::filesystem::path& file) {
  const Json definition = parse_json(read_file(file), file.string());
  try {
    if (kind == "wordpiece") return std::make_unique<WordPieceTokenizer>(definition, length);
    if (kind == "clip-bpe") return std::make_unique<ClipTokenizer>(definition, length);
  } catch (const Json::exception&) {
    throw Error(file.string() + ": expected a " + kind + " tokenizer, got another; export the bundle again");
  }
  throw Error("manifest.json: expected a tokenizer of kind wordpiece, clip-bpe or clip-bpe-pair, got " + quote(kind) +
              "; update this program");
}

}  // namespace

OneTokenizer::OneTokenizer(std::int64_t length) : length_(static_cast<std::size_t>(length)) {
  require(length >= least_length && length <= greatest_length,
          "manifest.json: tokenizer: expected max_tokens of at least 3 (start, a word, end), got " +
              std::to_string(length) + "; export the bundle again");
}

Tokens OneTokenizer::encode(std::string_view prompt) const {
  const std::u32string points = checked(prompt);
  const std::vector<std::int32_t> found = ids(points);
  Tokens tokens = framed(found);
  tokens.known = is_known(found, unknown_, points);
  return tokens;
}

std::vector<std::int32_t> OneTokenizer::words(const std::u32string& text) const {
  const std::vector<std::int32_t> found = ids(text);
  return {found.begin() + 1, found.end() - 1};
}

Tokens OneTokenizer::window(const std::vector<std::int32_t>& ids) const {
  std::vector<std::int32_t> found = this->ids(U"");
  found.insert(found.begin() + 1, ids.begin(), ids.end());
  return framed(std::move(found));
}

Tokens OneTokenizer::framed(std::vector<std::int32_t> ids) const {
  Tokens tokens{std::move(ids), std::vector<std::int32_t>(length_, 0)};
  tokens.count = tokens.ids.size();
  if (tokens.count > length_) {
    tokens.ids.resize(length_);
    tokens.ids.back() = end_;
  }
  for (std::size_t i = 0; i < tokens.ids.size(); ++i) tokens.mask[i] = 1;
  tokens.ids.resize(length_, padding_);
  return tokens;
}

std::unique_ptr<Tokenizer> open_tokenizer(const TokenizerSpec& spec, const std::vector<std::filesystem::path>& files) {
  if (spec.kind == tokenizer_pair) {
    return std::make_unique<TokenizerPair>(open_one("clip-bpe", spec.max_tokens, files.at(0)),
                                           open_one("clip-bpe", spec.max_tokens, files.at(1)));
  }
  return open_one(spec.kind, spec.max_tokens, files.at(0));
}

}  // namespace runner
