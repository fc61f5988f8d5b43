#include "byte_pairs.h"

#include <array>
#include <queue>
#include <tuple>

#include "error.h"
#include "utf8.h"

namespace runner {
namespace {

constexpr int none = -1;

std::uint64_t key(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

// The character of each byte: printable bytes are themselves, the others take the code points from 256 on.
std::array<std::string, 256> byte_symbols() {
  std::array<std::string, 256> symbols;
  char32_t next = 256;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= U'!' && byte <= U'~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    symbols[byte] = encode_utf8(std::u32string(1, printable ? byte : next++));
  }
  return symbols;
}

// A merge as it is stored: a list of two symbols, or both in one text.
std::pair<std::string, std::string> pair_of(const Json& merge) {
  if (merge.is_array()) return {merge.at(0), merge.at(1)};
  const std::string text = merge;
  const std::size_t space = text.find(' ');
  return {text.substr(0, space), space == std::string::npos ? "" : text.substr(space + 1)};
}

// A symbol of a word that is being merged; `previous` and `next` are places, `id` is none once it is part of another.
struct Symbol {
  std::int32_t id;
  int previous, next;
};

// A merge that may be made: lowest rank first, then leftmost.
struct Candidate {
  std::int32_t rank;
  int place;
  std::int32_t id;

  bool operator>(const Candidate& other) const { return std::tie(rank, place) > std::tie(other.rank, other.place); }
};

}  // namespace

BytePairs::BytePairs(const Json& model) {
  for (const auto& entry : model.at("vocab").items()) vocabulary_.emplace(entry.key(), entry.value());
  word_end_ = model.at("end_of_word_suffix");
  if (model.at("unk_token").is_string()) unknown_ = id(model.at("unk_token"));
  std::int32_t rank = 0;
  for (const Json& entry : model.at("merges")) {
    const auto [left, right] = pair_of(entry);
    const auto first = id(left), second = id(right), whole = id(left + right);
    require(first && second && whole,
            "tokenizer.json: expected merges of the vocabulary's symbols, got another; export the bundle again");
    merges_[key(*first, *second)] = {rank++, *whole};
  }
}

std::optional<std::int32_t> BytePairs::id(const std::string& token) const {
  const auto found = vocabulary_.find(token);
  return found == vocabulary_.end() ? std::nullopt : std::optional(found->second);
}

const BytePairs::Merge* BytePairs::merge(std::int32_t left, std::int32_t right) const {
  const auto found = merges_.find(key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

// A symbol for each byte of a word, the last one marked as the word's end.
std::vector<std::int32_t> BytePairs::symbols(std::string_view word) const {
  static const auto bytes = byte_symbols();
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const std::string symbol = bytes[static_cast<unsigned char>(word[i])] + (i + 1 == word.size() ? word_end_ : "");
    const auto found = id(symbol);
    if (found || unknown_) ids.push_back(found ? *found : *unknown_);
  }
  return ids;
}

std::vector<std::int32_t> BytePairs::encode(std::string_view word) const {
  std::vector<Symbol> chain;
  for (const std::int32_t id : symbols(word)) {
    const int place = static_cast<int>(chain.size());
    chain.push_back({id, place - 1, place + 1});
  }
  if (!chain.empty()) chain.back().next = none;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](int place) {
    if (place == none || chain[place].next == none) return;
    const Merge* found = merge(chain[place].id, chain[chain[place].next].id);
    if (found != nullptr) queue.push({found->rank, place, found->id});
  };
  for (int place = 0; place < static_cast<int>(chain.size()); ++place) consider(place);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& symbol = chain[best.place];
    if (symbol.id == none || symbol.next == none) continue;
    Symbol& right = chain[symbol.next];
    const Merge* found = merge(symbol.id, right.id);
    if (found == nullptr || found->id != best.id) continue;  // one of the two has been merged meanwhile
    symbol.id = best.id;
    symbol.next = right.next;
    right.id = none;
    if (symbol.next != none) chain[symbol.next].previous = best.place;
    consider(symbol.previous);
    consider(best.place);
  }
  std::vector<std::int32_t> ids;
  for (const Symbol& symbol : chain) {
    if (symbol.id != none) ids.push_back(symbol.id);
  }
  return ids;
}

}  // namespace runner
