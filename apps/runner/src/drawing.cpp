#include "drawing.h"

#include <algorithm>
#include <cmath>

#include "error.h"
#include "numbers.h"
#include "philox.h"

namespace runner {
namespace {

const TensorSpec* find_tensor(const std::vector<TensorSpec>& tensors, const char* name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& each) { return each.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

Floats encode(const RunStage& run, const Tokenizer& tokenizer, const Settings& settings, const std::string& prompt) {
  return run("encode_text", text_inputs(settings, tokenizer.encode(prompt))).at("context");
}

void check_guidance(const Settings& settings, const Request& request) {
  const std::string scale = format_number(request.guidance), own = format_number(settings.schedule.guidance);
  require(std::isfinite(request.guidance) && request.guidance <= max_guidance,
          "guidance: expected a number up to " + format_number(max_guidance) + ", got " + scale);
  if (settings.schedule.guidance_kind == "cfg") return;
  if (settings.schedule.guidance_kind == "none") {
    require(request.guidance <= 1, "guidance: expected 1 or less, as this model was exported without guidance, got " +
                                       scale + "; export it with --guidance " + scale);
    return;
  }
  require(request.negative.empty(), "negative prompt: expected none, as guidance is in this model's weights");
  require(request.guidance == settings.schedule.guidance,
          "guidance: expected " + own + ", which it was distilled with, got " + scale);
}

// Leads away from the network's output (1, C, h, w) for the null text.
void guide(Arrays& inputs, Floats null_output, double scale) {
  inputs["null_output"] = std::move(null_output);
  inputs["guidance"] = Floats{static_cast<float>(scale)};
}

// The scale of a step whose guidance is a choice of its own; else none.
double own_scale(const Settings& settings, const Arrays& conditions, int step) {
  if (settings.schedule.shares.empty()) return 1;
  const double scale = std::get<Floats>(conditions.at("guidance")).at(0);
  return 1 + settings.schedule.shares.at(static_cast<std::size_t>(step)) * (scale - 1);
}

}  // namespace

Settings settings_of(const Manifest& manifest) {
  const StageSpec *text = manifest.stage("encode_text"), *step = manifest.stage("denoise");
  const StageSpec* picture = manifest.stage("decode_image");
  const TensorSpec* latents = step == nullptr ? nullptr : find_tensor(step->inputs, "latents");
  const TensorSpec* image = picture == nullptr ? nullptr : find_tensor(picture->outputs, "image");
  const TensorSpec* context = text == nullptr ? nullptr : find_tensor(text->outputs, "context");
  const bool known = latents != nullptr && image != nullptr && context != nullptr && latents->shape.size() == 4 &&
                     image->shape.size() == 4 && image->shape[1] == 3;
  require(known, "manifest.json: expected stages that take latents and give an image; export the bundle again");
  return {*latents, *image, find_tensor(text->inputs, "mask") != nullptr, manifest.schedule};
}

std::string unused_negative(const Settings& settings, const Request& request) {
  const bool guided = settings.schedule.guidance_kind == "distilled" || request.guidance > 1;
  if (guided || request.negative.empty()) return "";
  return "negative prompt: it has no effect at guidance " + format_number(request.guidance) +
         "; use a guidance above 1";
}

Arrays text_inputs(const Settings& settings, const Tokens& tokens) {
  Arrays arrays = {{"tokens", tokens.ids}};
  if (settings.uses_mask) arrays["mask"] = tokens.mask;
  return arrays;
}

Arrays conditions(const RunStage& run, const Tokenizer& tokenizer, const Settings& settings, const Request& request) {
  check_guidance(settings, request);
  Arrays arrays = {{"context", encode(run, tokenizer, settings, request.prompt)}};
  if (settings.schedule.guidance_kind == "cfg") {
    arrays["null_context"] = encode(run, tokenizer, settings, request.negative);
    arrays["guidance"] = Floats{static_cast<float>(request.guidance)};
  }
  return arrays;
}

State first_state(const Settings& settings, std::uint64_t seed) {
  const std::size_t count = settings.latents.count();
  return {gaussian(seed, count), Floats(settings.schedule.memory * count, 0.0F)};
}

Arrays step_inputs(const Settings& settings, const Arrays& conditions, const State& state, int step,
                   std::uint64_t seed) {
  Arrays arrays = conditions;
  if (!settings.schedule.shares.empty()) {
    arrays.erase("null_context");
    guide(arrays, Floats(settings.latents.count(), 0.0F), 1);
  }
  arrays["latents"] = state.latents;
  arrays["step"] = Integers{step};
  if (settings.schedule.memory > 0) arrays["memory"] = state.memory;
  if (settings.schedule.stochastic) {
    arrays["noise"] = gaussian(seed, settings.latents.count(), static_cast<std::uint64_t>(step) + 1);
  }
  return arrays;
}

State denoise(const RunStage& run, const Settings& settings, const Arrays& conditions, const State& state, int step,
              std::uint64_t seed) {
  Arrays inputs = step_inputs(settings, conditions, state, step, seed);
  if (const double scale = own_scale(settings, conditions, step); scale > 1) {
    Arrays null = inputs;
    null["context"] = conditions.at("null_context");
    guide(inputs, run("denoise", null).at("output"), scale);
  }
  Outputs outputs = run("denoise", inputs);
  State next{std::move(outputs.at("latents")), {}};
  if (settings.schedule.memory > 0) next.memory = std::move(outputs.at("memory"));
  return next;
}

Picture draw(const RunStage& run, const Tokenizer& tokenizer, const Settings& settings, const Request& request,
             const OnStep& on_step) {
  const Arrays constant = conditions(run, tokenizer, settings, request);
  State state = first_state(settings, request.seed);
  for (const int step : settings.schedule.rows()) {
    state = denoise(run, settings, constant, state, step, request.seed);
    if (on_step) on_step(step, state.latents);
  }
  check_finite("latents", state.latents);
  return to_picture(run("decode_image", {{"latents", state.latents}}).at("image"), settings.image);
}

}  // namespace runner
