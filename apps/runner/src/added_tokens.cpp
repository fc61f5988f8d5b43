#include "added_tokens.h"

#include "error.h"
#include "quote.h"
#include "unicode.h"
#include "utf8.h"

namespace runner {

AddedTokens::AddedTokens(const Json& list, Normalize normalize) : normalize_(std::move(normalize)) {
  for (const Json& entry : list) {
    const std::string content = entry.at("content");
    require(!entry.at("single_word").get<bool>(),
            "tokenizer.json: expected added tokens that may stand anywhere, got " + quote(content) +
                " as a single word; it is not supported");
    const std::u32string points = decode_utf8(content).value_or(U"");
    const bool normalized = entry.at("normalized");
    const Token token{normalized ? normalize_(points) : points, entry.at("id"), entry.at("lstrip"), entry.at("rstrip")};
    if (!token.content.empty()) (normalized ? normalized_ : typed_).push_back(token);
    ids_[content] = token.id;
  }
}

const AddedTokens::Token* AddedTokens::longest_at(const std::vector<Token>& tokens, const std::u32string& text,
                                                  std::size_t place) {
  const Token* longest = nullptr;
  for (const Token& token : tokens) {
    const bool longer = longest == nullptr || token.content.size() > longest->content.size();
    if (longer && text.compare(place, token.content.size(), token.content) == 0) longest = &token;
  }
  return longest;
}

std::vector<Stretch> AddedTokens::find(const std::vector<Token>& tokens, const std::u32string& text) {
  std::vector<Stretch> found;
  std::size_t done = 0;
  for (std::size_t place = 0; place < text.size();) {
    const Token* token = longest_at(tokens, text, place);
    if (token == nullptr) {
      ++place;
      continue;
    }
    std::size_t start = place, stop = place + token->content.size();
    while (token->strip_left && start > done && unicode::is_space(text[start - 1])) --start;
    while (token->strip_right && stop < text.size() && unicode::is_space(text[stop])) ++stop;
    if (start > done) found.push_back({std::nullopt, text.substr(done, start - done)});
    found.push_back({token->id, {}});
    place = done = stop;
  }
  if (done < text.size()) found.push_back({std::nullopt, text.substr(done)});
  return found;
}

std::vector<Stretch> AddedTokens::split(const std::u32string& prompt) const {
  std::vector<Stretch> result;
  for (Stretch& stretch : find(typed_, prompt)) {
    if (stretch.id) {
      result.push_back(std::move(stretch));
      continue;
    }
    for (Stretch& inner : find(normalized_, normalize_(stretch.text))) result.push_back(std::move(inner));
  }
  return result;
}

}  // namespace runner
