// For tests: answers questions in JSON, one a line on standard input.
//   {"tokenizer": [kind, length, file]}           opens a tokenizer for the questions that follow
//   {"prompt": text}                              -> {"ids": [...], "mask": [...], "known": true}, or {"error": text}
//   {"noise": [seed, count, tensor]}              -> SHA-256 of the little-endian float32 bytes; the seed is text
//   {"philox": [[key words], [counter words]]}    -> four words
//   {"manifest": text}                            -> {}, or {"error": text}
//   {"preview": text, "channels": C}              -> {}, or {"error": text}
//   {"replay": file}                              -> what is drawn with a recorded trajectory, or {"error": text}
//   {"locale": name}                              -> the decimal point that C has from then on, or null
//   {"sha256": text}                              -> the digest of the text in UTF-8
//   {"picture": [width, height, [values]], "png": file}   writes a picture from values in [0, 1]
#include <clocale>
#include <iostream>
#include <memory>

#include "../src/error.h"
#include "../src/files.h"
#include "../src/json.h"
#include "../src/manifest.h"
#include "../src/numbers.h"
#include "../src/philox.h"
#include "../src/picture.h"
#include "../src/png.h"
#include "../src/preview.h"
#include "../src/reading.h"
#include "../src/sha256.h"
#include "../src/tokens.h"
#include "replay.h"

namespace runner {
namespace {

std::unique_ptr<Tokenizer> tokenizer;

Json open(const Json& values) {
  TokenizerSpec spec{values.at(0), values.at(1), {values.at(2)}};
  tokenizer = open_tokenizer(spec, {std::string(values.at(2))});
  return Json::object();
}

Json encode(const Json& prompt) {
  const Tokens tokens = tokenizer->encode(prompt.get_ref<const std::string&>());
  return {{"ids", tokens.ids}, {"mask", tokens.mask}, {"known", tokens.known}};
}

Json read(const Json& prompt, const Json& syntax, std::size_t windows) {
  const Reading reading = read_prompt(*tokenizer, prompt, syntax_of(syntax), windows);
  Json versions = Json::array();
  for (const Version& version : reading.versions) {
    Json found = Json::array();
    for (const auto& [tokens, weights] : version.windows) {
      found.push_back({{"ids", tokens.ids}, {"mask", tokens.mask}, {"weights", weights}});
    }
    versions.push_back({{"share", version.share}, {"windows", found}});
  }
  return {{"versions", versions}, {"cut", reading.cut}, {"empty", reading.empty.has_value()}};
}

Json noise(const Json& values) {
  const auto seed = parse_number<std::uint64_t>(values.at(0).get_ref<const std::string&>());
  const auto deviates = gaussian(seed.value(), values.at(1), values.at(2));
  Sha256 digest;
  digest.update(deviates.data(), deviates.size() * sizeof(float));
  return digest.finish();
}

Json sha256(const std::string& text) {
  Sha256 digest;
  digest.update(text.data(), text.size());
  return digest.finish();
}

Json draw(const Json& values, const std::string& file) {
  const std::int64_t width = values.at(0), height = values.at(1);
  write_file(file, to_png(to_picture(values.at(2), {"image", "float32", {1, 3, height, width}})));
  return Json::object();
}

// As an app does that follows its user's settings.
Json set_locale(const std::string& name) {
  if (std::setlocale(LC_ALL, name.c_str()) == nullptr) return nullptr;
  std::locale::global(std::locale(name));
  return std::localeconv()->decimal_point;
}

Json check_preview(const std::string& text, std::int64_t channels) {
  parse_preview(text, channels, "preview.json");
  return Json::object();
}

Json answer(const Json& question) {
  if (question.contains("tokenizer")) return open(question["tokenizer"]);
  if (question.contains("syntax")) return read(question["prompt"], question["syntax"], question["windows"]);
  if (question.contains("prompt")) return encode(question["prompt"]);
  if (question.contains("noise")) return noise(question["noise"]);
  if (question.contains("replay")) return replay_trajectory(question["replay"]);
  if (question.contains("preview")) return check_preview(question["preview"], question["channels"]);
  if (question.contains("locale")) return set_locale(question["locale"]);
  if (question.contains("sha256")) return sha256(question["sha256"]);
  if (question.contains("picture")) return draw(question["picture"], question["png"]);
  if (question.contains("philox")) return philox(question["philox"].at(0), question["philox"].at(1));
  read_manifest(question.at("manifest").get_ref<const std::string&>(), "manifest.json");
  return Json::object();
}

}  // namespace
}  // namespace runner

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    try {
      std::cout << runner::answer(runner::Json::parse(line)).dump() << "\n";
    } catch (const runner::Error& error) {
      std::cout << runner::Json{{"error", error.what()}}.dump() << "\n";
    }
  }
  return 0;
}
