#include "replay.h"

#include <cstring>
#include <filesystem>

#include "../src/drawing.h"
#include "../src/error.h"
#include "../src/files.h"
#include "../src/numbers.h"
#include "../src/preview.h"
#include "../src/sha256.h"

namespace runner {
namespace {

template <typename Value>
std::string digest_of(const std::vector<Value>& values) {
  Sha256 digest;
  digest.update(values.data(), values.size() * sizeof(Value));
  return digest.finish();
}

std::string decode_base64(const std::string& text) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char one : text.substr(0, text.find('='))) {
    bits = bits << 6 | static_cast<std::uint32_t>(alphabet.find(one));
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xFF);
  }
  return bytes;
}

Floats floats_of(const std::string& base64) {
  const std::string bytes = decode_base64(base64);
  Floats values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

Json describe(const std::string& stage, const TensorSpec& spec, const Arrays& arrays) {
  require(arrays.count(spec.name) == 1, stage + ": expected the input " + spec.name + ", got none");
  const auto& given = arrays.at(spec.name);
  const std::string digest = std::visit([](const auto& values) { return digest_of(values); }, given);
  const char* dtype = std::holds_alternative<Floats>(given) ? "float32" : "int32";
  return {{"dtype", dtype}, {"shape", spec.shape}, {"sha256", digest}};
}

// Answers with recorded outputs.
class Replay {
 public:
  Replay(const Json& calls, const Manifest& manifest) : calls_(calls), manifest_(manifest) {}

  Outputs operator()(const std::string& stage, const Arrays& arrays) {
    const Json call = next_ < calls_.size() ? calls_.at(next_) : Json{{"stage", "nothing more"}};
    ++next_;
    Json inputs = Json::object();
    for (const TensorSpec& spec : manifest_.stage(stage)->inputs) inputs[spec.name] = describe(stage, spec, arrays);
    const bool same = call["stage"] == stage && call["inputs"] == inputs && arrays.size() == inputs.size();
    require(same, "call " + std::to_string(next_) + ": expected " + call.dump().substr(0, 400) + ", got " + stage +
                      " " + inputs.dump());
    Outputs outputs;
    for (const auto& entry : call["outputs"].items()) outputs[entry.key()] = floats_of(entry.value().at("data"));
    return outputs;
  }

  std::size_t made() const { return next_; }

 private:
  const Json& calls_;
  const Manifest& manifest_;
  std::size_t next_ = 0;
};

std::optional<Start> start_of(const Json& request) {
  if (!request.contains("start")) return std::nullopt;
  const Json& asked = request["start"];
  const auto bytes = [](const Json& text) {
    const std::string decoded = text.is_null() ? "" : decode_base64(text);
    return std::vector<std::uint8_t>(decoded.begin(), decoded.end());
  };
  const auto number = [](const Json& value) {
    return value.is_null() ? std::nullopt : std::optional<double>(value.get<double>());
  };
  return Start{{asked["width"], asked["height"], bytes(asked["pixels"])},
               number(asked["strength"]),
               bytes(asked["mask"]),
               number(asked["image_guidance"])};
}

std::vector<Hint> hints_of(const Json& request) {
  std::vector<Hint> hints;
  for (const Json& asked : request.value("hints", Json::array())) {
    const std::string decoded = decode_base64(asked["pixels"]);
    hints.push_back({{asked["width"], asked["height"], {decoded.begin(), decoded.end()}}, asked["scale"]});
  }
  return hints;
}

std::vector<Adapter> adapters_of(const Json& recorded, const Settings& settings) {
  std::vector<Adapter> adapters;
  if (!recorded.contains("adapters")) return adapters;
  const Json &files = recorded["adapters"]["files"], &later = recorded["adapters"]["later"];
  const AdapterRoom room = read_adapter_index(decode_base64(files["adapters/index.json"]), settings.adapters, "index");
  for (const Json& asked : recorded["request"].value("adapters", Json::array())) {
    const std::string name = asked["name"];
    const bool added = later.contains(name);
    const std::string bytes = decode_base64(added ? later[name] : files["adapters/" + name + ".safetensors"]);
    adapters.push_back({name, read_factors(bytes, room, name), asked["scale"]});
  }
  return adapters;
}

Json describe(const Picture& picture) {
  return {{"width", picture.width}, {"height", picture.height}, {"sha256", digest_of(picture.pixels)}};
}

}  // namespace

Json replay_trajectory(const std::string& file) {
  const Json recorded = Json::parse(read_file(file));
  const Manifest manifest = read_manifest(recorded.at("manifest").get_ref<const std::string&>(), file);
  const Settings settings = settings_of(manifest);
  const auto golden = std::filesystem::path(file).parent_path().parent_path();
  std::vector<std::filesystem::path> words;
  for (const char* name : {"tokenizer", "tokenizer_2"}) {
    if (recorded.contains(name)) words.push_back(golden / std::string(recorded.at(name)));
  }
  const auto tokenizer = open_tokenizer(manifest.tokenizer, words);
  const Json& asked = recorded.at("request");
  const auto seed = parse_number<std::uint64_t>(asked.at("seed").get_ref<const std::string&>());
  const double guidance = asked["guidance"].is_null() ? settings.schedule.guidance : double(asked["guidance"]);
  Json previews = Json::array();
  OnStep on_step;
  if (recorded.contains("preview")) {
    const std::string& text = recorded["preview"].at("text").get_ref<const std::string&>();
    on_step = [&, preview = parse_preview(text, settings.latents.shape[1], file)](int, const Floats& latents) {
      previews.push_back(describe(preview(latents, settings.latents)));
    };
  }
  Replay replay(recorded.at("calls"), manifest);
  const Syntax syntax = syntax_of(asked.value("syntax", "plain"));
  const Request request = {asked.at("prompt"), asked.at("negative"), seed.value(), guidance, start_of(asked), syntax,
                           hints_of(asked), adapters_of(recorded, settings)};
  check_start(manifest, settings, request.start);
  const Arrays constant = conditions(std::ref(replay), *tokenizer, settings, request);
  const Picture picture = draw(std::ref(replay), settings, request, constant, on_step);
  return {{"picture", describe(picture)}, {"previews", previews}, {"calls", replay.made()}};
}

}  // namespace runner
