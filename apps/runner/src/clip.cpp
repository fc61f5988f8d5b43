#include "clip.h"

#include <array>

#include "error.h"
#include "unicode.h"
#include "utf8.h"

namespace runner {
namespace {

constexpr std::array<std::u32string_view, 2> markers = {U"<|startoftext|>", U"<|endoftext|>"};
constexpr std::array<std::u32string_view, 7> contractions = {U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"};

// Normal form C, runs of white space as one space, lower case.
std::u32string normalize(std::u32string_view text) {
  std::u32string result;
  bool in_space = false;
  for (const char32_t point : unicode::compose(text)) {
    const bool space = unicode::is_space(point);
    if (!space) result += point;
    if (space && !in_space) result += U' ';
    in_space = space;
  }
  return unicode::lower_case(result);
}

template <std::size_t count>
std::size_t literal_at(const std::array<std::u32string_view, count>& literals, std::u32string_view text) {
  for (const std::u32string_view literal : literals) {
    if (text.substr(0, literal.size()) == literal) return literal.size();
  }
  return 0;
}

bool is_other(char32_t point) {
  return !unicode::is_letter(point) && !unicode::is_number(point) && !unicode::is_space(point);
}

template <typename Is>
std::size_t run_of(Is is, std::u32string_view text) {
  std::size_t length = 0;
  while (length < text.size() && is(text[length])) ++length;
  return length;
}

// The length of the word that a text begins with, 0 for none: a contraction, letters, one number, or a run of the rest.
std::size_t word_at(std::u32string_view text) {
  if (const std::size_t length = literal_at(contractions, text)) return length;
  if (const std::size_t length = run_of(unicode::is_letter, text)) return length;
  return unicode::is_number(text[0]) ? 1 : run_of(is_other, text);
}

// Words in order.  The marker of a prompt's start or end, typed in other case, is three words.
std::vector<std::u32string_view> words_of(std::u32string_view text) {
  std::vector<std::u32string_view> words;
  while (!text.empty()) {
    const std::size_t marker = literal_at(markers, text);
    if (marker > 0) {
      for (const auto& [start, length] :
           {std::pair<std::size_t, std::size_t>(0, 2), {2, marker - 4}, {marker - 2, 2}}) {
        words.push_back(text.substr(start, length));
      }
      text.remove_prefix(marker);
      continue;
    }
    const std::size_t length = word_at(text);
    if (length > 0) words.push_back(text.substr(0, length));
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return words;
}

void expect(bool condition, const std::string& expected) {
  require(condition, "tokenizer.json: expected " + expected + ", got another; export the bundle again");
}

// Throws Error unless the parts are those that mobile_diffusion/tokenization/clip_tokenizer.py writes.
void check_parts(const Json& definition) {
  const Json& model = definition.at("model");
  expect(model.at("type") == "BPE" && model.at("end_of_word_suffix") == "</w>", "byte pairs with the suffix </w>");
  expect(model.at("continuing_subword_prefix") == "" || model.at("continuing_subword_prefix").is_null(), "no prefix");
  const Json& steps = definition.at("normalizer").at("normalizers");
  expect(steps.size() == 3 && steps[0].at("type") == "NFC" && steps[1].at("type") == "Replace" &&
             steps[1].at("pattern") == Json{{"Regex", "\\s+"}} && steps[2].at("type") == "Lowercase",
         "CLIP's normalizer");
  const Json& splits = definition.at("pre_tokenizer").at("pretokenizers");
  expect(splits.size() == 2 && splits[0].at("type") == "Split" && splits[1].at("type") == "ByteLevel" &&
             splits[1].at("add_prefix_space") == false,
         "CLIP's pre-tokenizer");
  expect(definition.at("post_processor").at("type") == "RobertaProcessing", "CLIP's post-processor");
}

}  // namespace

ClipTokenizer::ClipTokenizer(const Json& definition, std::int64_t length)
    : OneTokenizer(length), pairs_((check_parts(definition), definition.at("model"))) {
  added_ = std::make_unique<AddedTokens>(definition.at("added_tokens"), normalize);
  const Json& processor = definition.at("post_processor");
  start_ = processor.at("cls").at(1);
  end_ = processor.at("sep").at(1);
  expect(definition.at("padding").is_object(), "a padding section");
  padding_ = definition.at("padding").at("pad_id");
  find_companions();
}

void ClipTokenizer::find_companions() {
  const auto& ids = added_->ids();
  for (const auto& [content, id] : ids) {
    std::vector<std::int32_t> following;
    for (auto next = ids.find(content + "_1"); next != ids.end();) {
      following.push_back(next->second);
      next = ids.find(content + "_" + std::to_string(following.size() + 1));
    }
    if (!following.empty()) companions_[id] = following;
  }
}

std::vector<std::int32_t> ClipTokenizer::ids(const std::u32string& prompt) const {
  std::vector<std::int32_t> plain = {start_}, result;
  for (const Stretch& stretch : added_->split(prompt)) {
    if (stretch.id) plain.push_back(*stretch.id);
    for (const std::u32string_view word : words_of(stretch.text)) {
      for (const std::int32_t id : pairs_.encode(encode_utf8(word))) plain.push_back(id);
    }
  }
  plain.push_back(end_);
  for (const std::int32_t id : plain) {
    result.push_back(id);
    const auto found = companions_.find(id);
    if (found != companions_.end()) result.insert(result.end(), found->second.begin(), found->second.end());
  }
  return result;
}

}  // namespace runner
