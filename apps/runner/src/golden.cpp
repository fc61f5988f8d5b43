#include "golden.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "error.h"
#include "golden_case.h"
#include "json.h"
#include "metrics.h"
#include "reading.h"
#include "stages.h"
#include "tiles.h"

namespace runner {
namespace {

constexpr double most_db = 300;  // stands for infinity in JSON: the values are equal

// A number for JSON: infinity as 300 dB, NaN as null.
Json number(double value) { return std::isnan(value) ? Json(nullptr) : Json(std::min(value, most_db)); }

// One case on this machine; collects every comparison.
class CaseReplay {
 public:
  CaseReplay(const GoldenCase& golden, const RunStage& run, const Settings& settings)
      : golden_(golden),
        run_(run),
        settings_(settings),
        rows_(settings.schedule.rows(golden.first_step)) {}

  void compare_tokens(const Tokenizer& tokenizer) {
    Integers ids;
    const Reading reading = read_prompt(tokenizer, golden_.prompt, Syntax::plain, settings_.windows);
    for (const Window& window : reading.versions.front().windows) {
      ids.insert(ids.end(), window.tokens.ids.begin(), window.tokens.ids.end());
    }
    const bool same = ids == golden_.integers.at("tokens");
    checks_.push_back({{"check", "tokens"}, {"passed", same}});
    passed_ = passed_ && same;
  }

  void compare_stages(Depth depth) {
    compare_texts();
    compare_encoding();
    compare_hints();
    turn_adapters_on();
    const std::size_t steps = depth == Depth::step ? 1 : golden_.state_count - 1;
    for (std::size_t number = 0; number < steps; ++number) compare_step(number);
    if (depth == Depth::trajectory) run_freely();
    const Floats last = split(golden_.state(golden_.state_count - 1)).latents;
    add("decode_image", std::nullopt, golden_.floats.at("image"), decode(last));
    if (depth == Depth::trajectory) add("picture", std::nullopt, golden_.floats.at("image"), decode(own_.latents));
  }

  std::vector<Json>& checks() { return checks_; }
  bool passed() const { return passed_; }

 private:
  void compare_texts() {
    const auto [wanted, found] = compare_text("");
    const bool encoded = golden_.integers.count("null_tokens") == 1;
    const auto [wanted_null, found_null] = encoded ? compare_text("null_") : std::pair<Outputs, Outputs>();
    constants_ = with_guidance(settings_, wanted, wanted_null, golden_.guidance);
    own_constants_ = with_guidance(settings_, found, found_null, golden_.guidance);
  }

  // What `encode_text` returned in PyTorch, and what it returns here; names of the null text have a prefix.
  std::pair<Outputs, Outputs> compare_text(const std::string& prefix) {
    const Outputs found = encode_windows(prefix);
    Outputs wanted;
    for (const auto& [name, values] : found) {
      wanted[name] = golden_.floats.at(prefix + name);
      add("encode_text", std::nullopt, wanted.at(name), values);
    }
    return {wanted, found};
  }

  // The windows' outputs, their contexts one behind the other.
  Outputs encode_windows(const std::string& prefix) {
    Outputs all;
    for (std::size_t window = 0; window < settings_.windows; ++window) {
      Arrays inputs = {{"tokens", window_of(prefix + "tokens", window)}};
      if (settings_.uses_mask) inputs["mask"] = window_of(prefix + "mask", window);
      Outputs found = run_("encode_text", inputs);
      if (all.empty()) {
        all = std::move(found);
      } else {
        const Floats& context = found.at("context");
        all.at("context").insert(all.at("context").end(), context.begin(), context.end());
      }
    }
    return all;
  }

  Integers window_of(const std::string& name, std::size_t window) const {
    const Integers& all = golden_.integers.at(name);
    const auto size = static_cast<std::ptrdiff_t>(all.size() / settings_.windows);
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(window) * size;
    return {first, first + size};
  }

  // What `denoise` reads of a picture, by latents of it.
  Arrays of_picture(const Floats& latents) const {
    const Floats mask = golden_.has("latent_mask") ? golden_.floats.at("latent_mask") : Floats();
    return picture_inputs(settings_, latents, mask, golden_.guidance);
  }

  // Where there is a picture: its latents, with which this machine's own way begins, or which `denoise` reads.
  void compare_encoding() {
    own_ = first_state(settings_, golden_.seed);
    if (!golden_.has("source")) return;
    const Floats encoded = encode_picture(run_, settings_, golden_.floats.at("source"));
    add("encode_image", std::nullopt, golden_.floats.at("encoded"), encoded);
    constants_.merge(of_picture(golden_.floats.at("encoded")));
    own_constants_.merge(of_picture(encoded));
    if (settings_.task == Task::draw) own_ = first_state(settings_, golden_.seed, encoded, rows_.at(0));
  }

  // Where there are ControlNets: their encoded hints.
  void compare_hints() {
    if (!golden_.has("hints")) return;
    const Floats found = run_("encode_hint", {{"hints", golden_.floats.at("hints")}}).at("hint_features");
    const Floats& wanted = golden_.floats.at("hint_features");
    add("encode_hint", std::nullopt, wanted, found);
    constants_["hint_features"] = wanted;
    own_constants_["hint_features"] = found;
    for (Arrays* each : {&constants_, &own_constants_}) (*each)["hint_scales"] = golden_.floats.at("hint_scales");
  }

  // Where there are adapters: those of the case.
  void turn_adapters_on() {
    if (settings_.adapters.empty()) return;
    for (const char* name : {"adapters", "adapter_scales"}) {
      for (Arrays* each : {&constants_, &own_constants_}) (*each)[name] = golden_.floats.at(name);
    }
  }

  State split(const Floats& state) const {
    const auto middle = state.begin() + static_cast<std::ptrdiff_t>(settings_.latents.count());
    return {Floats(state.begin(), middle), Floats(middle, state.end())};
  }

  static Floats joined(const State& state) {
    Floats all = state.latents;
    all.insert(all.end(), state.memory.begin(), state.memory.end());
    return all;
  }

  State step_from(const Arrays& constants, const State& state, int step) const {
    return denoise(run_, settings_, constants, state, step, golden_.seed);
  }

  Floats decode(const Floats& latents) const { return decode_picture(run_, settings_, latents); }

  // The place of a recorded step in a whole drawing.
  int step_of(std::size_t number) const { return static_cast<int>(settings_.steps() - rows_.size() + number); }

  // A step that is given the reference's state.
  void compare_step(std::size_t number) {
    const State found = step_from(constants_, split(golden_.state(number)), rows_.at(number));
    add("denoise", step_of(number), golden_.state(number + 1), joined(found));
  }

  // All steps from this machine's own contexts and states: errors accumulate as on a phone.
  void run_freely() {
    for (std::size_t number = 0; number + 1 < golden_.state_count; ++number) {
      own_ = step_from(own_constants_, own_, rows_.at(number));
      add("free_running", step_of(number), golden_.state(number + 1), joined(own_));
    }
  }

  void add(const char* check, std::optional<int> step, const Floats& wanted, const Floats& found) {
    const Distance distance = compare(wanted, found);
    Json entry = {{"check", check}};
    if (step) entry["step"] = *step;
    const bool picture = std::string(check) == "picture";
    entry[picture ? "psnr_db" : "snr_db"] = number(picture ? distance.psnr_db : distance.snr_db);
    entry["max_abs"] = number(distance.max_abs);
    checks_.push_back(std::move(entry));
  }

  const GoldenCase& golden_;
  const RunStage& run_;
  const Settings& settings_;
  const std::vector<int> rows_;  // the steps of `denoise` that the case makes
  Arrays constants_, own_constants_;  // with the reference's contexts, and with this machine's
  State own_;
  std::vector<Json> checks_;
  bool passed_ = true;
};

// The limit that the manifest states for a check of this runtime.
const ParityLimit* limit_of(const Manifest& manifest, const std::string& check) {
  const auto found = std::find_if(manifest.parity.begin(), manifest.parity.end(), [&](const ParityLimit& each) {
    const bool distance = each.metric == "snr_db" || each.metric == "psnr_db";
    return each.check == check && each.runtime == runtime_name && distance;
  });
  return found == manifest.parity.end() ? nullptr : &*found;
}

// Checks a comparison against its limit, which the manifest states for the programs' precision; NaN does not pass.  A
// bundle that was compared over one step only states none for whole trajectories: they have to be numbers.
bool judge(const Manifest& manifest, Json& entry) {
  if (entry.contains("passed")) return entry.at("passed");
  const ParityLimit* limit = limit_of(manifest, entry.at("check"));
  const Json& value = entry.contains("snr_db") ? entry.at("snr_db") : entry.at("psnr_db");
  const bool passed = value.is_number() && (limit == nullptr || value.get<double>() >= limit->limit);
  if (limit != nullptr) entry["limit"] = limit->limit;
  entry["passed"] = passed;
  return passed;
}

// Throws Error unless the recorded states are those of this bundle's steps.
void check_case(const GoldenCase& golden, const Bundle& bundle, const Settings& settings) {
  const std::size_t size = settings.latents.count() * (1 + settings.schedule.memory);
  const bool states = golden.state_count >= 2 && golden.floats.at("states").size() == golden.state_count * size;
  const bool steps = golden.state_count <= settings.schedule.rows(golden.first_step).size() + 1;
  const bool tokens = golden.integers.count("tokens") == 1 && steps;
  require(states && tokens, bundle.manifest.golden + ": expected tokens and states of the bundle's " +
                                std::to_string(settings.steps()) + " steps, got others; export the bundle again");
}

}  // namespace

Replay replay_golden(const Bundle& bundle, const RunStage& run, const Tokenizer& tokenizer, const Settings& settings,
                     Depth depth) {
  const Runtime& runtime = bundle.runtime(runtime_name);
  require(runtime.verified, bundle.folder.string() + ": --golden: expected programs that were compared with PyTorch " +
                                "when they were exported, got " + runtime_name + " that were not; export them again");
  Json report = {{"model", bundle.manifest.model},
                 {"precision", runtime.precision},
                 {"depth", depth == Depth::step ? "step" : "trajectory"}};
  report["cases"] = Json::array();
  bool all = true;
  for (const GoldenCase& golden : read_golden(bundle)) {
    check_case(golden, bundle, settings);
    CaseReplay one(golden, run, settings);
    one.compare_tokens(tokenizer);
    one.compare_stages(depth);
    bool passed = one.passed();
    for (Json& entry : one.checks()) passed = judge(bundle.manifest, entry) && passed;
    all = all && passed;
    report["cases"].push_back({{"prompt", golden.prompt},
                               {"seed", std::to_string(golden.seed)},
                               {"checks", one.checks()},
                               {"passed", passed}});
  }
  report["passed"] = all;
  return {report.dump(1), all};
}

}  // namespace runner
