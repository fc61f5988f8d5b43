#include "tokens.h"

#include <algorithm>

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

}  // namespace

Tokenizer::Tokenizer(std::int64_t length) : length_(static_cast<std::size_t>(length)) {
  require(length >= least_length && length <= greatest_length,
          "manifest.json: tokenizer: expected max_tokens of at least 3 (start, a word, end), got " +
              std::to_string(length) + "; export the bundle again");
}

Tokens Tokenizer::encode(std::string_view prompt) const {
  const std::u32string points = checked(prompt);
  Tokens tokens{ids(points), std::vector<std::int32_t>(length_, 0)};
  tokens.count = tokens.ids.size();
  tokens.known = is_known(tokens.ids, unknown_, points);
  if (tokens.count > length_) {
    tokens.ids.resize(length_);
    tokens.ids.back() = end_;
  }
  for (std::size_t i = 0; i < tokens.ids.size(); ++i) tokens.mask[i] = 1;
  tokens.ids.resize(length_, padding_);
  return tokens;
}

std::unique_ptr<Tokenizer> open_tokenizer(const TokenizerSpec& spec, const std::filesystem::path& file) {
  const Json definition = parse_json(read_file(file), file.string());
  try {
    if (spec.kind == "wordpiece") return std::make_unique<WordPieceTokenizer>(definition, spec.max_tokens);
    if (spec.kind == "clip-bpe") return std::make_unique<ClipTokenizer>(definition, spec.max_tokens);
  } catch (const Json::exception&) {
    throw Error(file.string() + ": expected a " + spec.kind + " tokenizer, got another; export the bundle again");
  }
  throw Error("manifest.json: expected a tokenizer of kind wordpiece or clip-bpe, got " + quote(spec.kind) +
              "; update this program");
}

}  // namespace runner
