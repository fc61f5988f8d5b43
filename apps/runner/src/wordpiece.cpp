#include "wordpiece.h"

#include "error.h"
#include "unicode.h"
#include "utf8.h"

namespace runner {
namespace {

// Without control characters, Chinese characters apart.
std::u32string cleaned(std::u32string_view text) {
  std::u32string result;
  for (const char32_t point : text) {
    if (unicode::is_control(point)) continue;
    const bool apart = unicode::is_han(point);
    if (apart) result += U' ';
    result += point;
    if (apart) result += U' ';
  }
  return result;
}

std::u32string without_accents(std::u32string_view text) {
  std::u32string result = unicode::decompose(text);
  std::erase_if(result, unicode::is_mark);
  return result;
}

std::u32string normalize(std::u32string_view text) { return unicode::lower_case(without_accents(cleaned(text))); }

// Words between spaces; punctuation is a word of its own.
std::vector<std::u32string_view> words_of(std::u32string_view text) {
  std::vector<std::u32string_view> words;
  std::size_t start = 0;
  const auto close = [&](std::size_t end) {
    if (end > start) words.push_back(text.substr(start, end - start));
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool punctuation = unicode::is_punctuation(text[i]);
    if (!punctuation && !unicode::is_space(text[i])) continue;
    close(i);
    start = i + 1;
    if (punctuation) words.push_back(text.substr(i, 1));
  }
  close(text.size());
  return words;
}

void expect(bool condition, const std::string& expected) {
  require(condition, "tokenizer.json: expected " + expected + ", got another; export the bundle again");
}

// Throws Error unless the parts are those of the uncased models.
void check_parts(const Json& definition) {
  const Json& model = definition.at("model");
  const bool pieces = model.at("type") == "WordPiece" && model.at("continuing_subword_prefix") == "##";
  expect(pieces, "a WordPiece model with the prefix ##");
  const Json& normalizer = definition.at("normalizer");
  const bool bert = normalizer.at("type") == "BertNormalizer" && normalizer.at("lowercase") == true &&
                    normalizer.at("clean_text") == true && normalizer.at("handle_chinese_chars") == true &&
                    normalizer.at("strip_accents") != false;
  expect(bert, "BERT's normalizer in lower case");
  expect(definition.at("pre_tokenizer").at("type") == "BertPreTokenizer", "BERT's pre-tokenizer");
  const Json& processor = definition.at("post_processor");
  expect(processor.at("type") == "TemplateProcessing" && processor.at("single").size() == 3, "BERT's post-processor");
  const Json& single = processor.at("single");
  const bool template_of_bert = single[0].at("SpecialToken").at("id") == "[CLS]" && single[1].contains("Sequence") &&
                                single[2].at("SpecialToken").at("id") == "[SEP]";
  expect(template_of_bert, "[CLS], the prompt and [SEP]");
}

}  // namespace

WordPieceTokenizer::WordPieceTokenizer(const Json& definition, std::int64_t length) : OneTokenizer(length) {
  check_parts(definition);
  const Json& model = definition.at("model");
  for (const auto& entry : model.at("vocab").items()) vocabulary_.emplace(entry.key(), entry.value());
  added_ = std::make_unique<AddedTokens>(definition.at("added_tokens"), normalize);
  for (const auto& [content, id] : added_->ids()) vocabulary_.emplace(content, id);
  longest_word_ = model.at("max_input_chars_per_word");
  unknown_ = special(model.at("unk_token"));
  start_ = special("[CLS]"), end_ = special("[SEP]"), padding_ = special("[PAD]");
}

std::int32_t WordPieceTokenizer::special(const std::string& token) const {
  const auto found = vocabulary_.find(token);
  expect(found != vocabulary_.end(), "the token " + token + " in the vocabulary");
  return found->second;
}

std::vector<std::int32_t> WordPieceTokenizer::ids(const std::u32string& prompt) const {
  std::vector<std::int32_t> ids = {start_};
  for (const Stretch& stretch : added_->split(prompt)) {
    if (stretch.id) ids.push_back(*stretch.id);
    for (const std::u32string_view word : words_of(stretch.text)) append_word(ids, word);
  }
  ids.push_back(end_);
  return ids;
}

// Appends the pieces of a word, the longest first; a word with a part that no piece covers is unknown as a whole.
void WordPieceTokenizer::append_word(std::vector<std::int32_t>& ids, std::u32string_view word) const {
  const std::size_t before = ids.size();
  bool known = word.size() <= longest_word_;
  for (std::size_t start = 0; known && start < word.size();) {
    std::size_t end = word.size();
    auto found = vocabulary_.end();
    for (; end > start && found == vocabulary_.end(); --end) {
      found = vocabulary_.find((start > 0 ? "##" : "") + encode_utf8(word.substr(start, end - start)));
    }
    known = found != vocabulary_.end();
    if (known) ids.push_back(found->second);
    start = end + 1;
  }
  if (known) return;
  ids.resize(before);
  ids.push_back(*unknown_);
}

}  // namespace runner
