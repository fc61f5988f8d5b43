#include "drawing.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "error.h"
#include "numbers.h"
#include "philox.h"
#include "reading.h"
#include "tiles.h"

namespace runner {
namespace {

const TensorSpec* find_tensor(const std::vector<TensorSpec>& tensors, const char* name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& each) { return each.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

constexpr const char* null_prefix = "null_";  // of the names of the null text's tensors

Outputs encode(const RunStage& run, const Tokenizer& tokenizer, const Settings& settings, const std::string& prompt,
               Syntax syntax) {
  const Reading reading = read_prompt(tokenizer, prompt, syntax, settings.windows);
  return encode_reading(reading, settings, [&](const Tokens& tokens) {
    return run("encode_text", text_inputs(settings, tokens));
  });
}

// The windows that the context of `denoise` has; throws Error unless they fill it.
std::size_t windows_of(const Manifest& manifest, const TensorSpec& one, const TensorSpec* all) {
  const auto width = std::accumulate(manifest.text_widths.begin(), manifest.text_widths.end(), std::int64_t{0});
  const auto fits = [&](const TensorSpec& spec, std::int64_t length) {
    return spec.shape.size() == 3 && spec.shape[1] % length == 0 && spec.shape[2] == width;
  };
  const std::int64_t length = manifest.tokenizer.max_tokens;
  const bool good = length > 0 && all != nullptr && fits(one, length) && fits(*all, length) && one.shape[1] == length;
  require(good, "manifest.json: expected a context of whole windows of the tokenizer's length; export the bundle again");
  return static_cast<std::size_t>(all->shape[1] / length);
}

bool same(const TensorSpec& one, const TensorSpec& other) {
  return one.name == other.name && one.dtype == other.dtype && one.shape == other.shape;
}

// Gives settings, whose image is what `decode_image` makes, the whole picture, and the tiles that it is made of; throws
// Error unless the tiles fit.
void divide(const Manifest& manifest, Settings& settings) {
  const StageSpec *decode = manifest.stage("decode_image"), *encode = manifest.stage("encode_image");
  const TensorSpec* tile = find_tensor(decode->inputs, "latents");
  const auto &whole = settings.latents.shape, part = tile == nullptr ? std::vector<std::int64_t>() : tile->shape;
  auto& image = settings.image.shape;
  bool fits = part.size() == 4 && part[0] == whole[0] && part[1] == whole[1] && decode->inputs.size() == 1;
  for (const std::size_t axis : {2, 3}) fits = fits && part[axis] > 0 && part[axis] <= whole[axis];
  const std::int64_t factor = fits ? image[2] / part[2] : 0;
  fits = fits && factor > 0 && image[2] == factor * part[2] && image[3] == factor * part[3];
  if (fits && encode != nullptr) {
    fits = encode->inputs.size() == 1 && encode->outputs.size() == 1 && decode->outputs.size() == 1 &&
           same(encode->inputs[0], decode->outputs[0]) && same(encode->outputs[0], *tile);
  }
  require(fits, "manifest.json: expected stages that decode and encode the latents, or tiles of them, of one size; "
                "export the bundle again");
  if (part != whole) settings.tile = {static_cast<std::size_t>(part[2]), static_cast<std::size_t>(part[3])};
  image = {1, 3, factor * whole[2], factor * whole[3]};
}

// The arrays of the null text, by the names of those of the prompt.
Arrays null_of(const Arrays& arrays) {
  Arrays null;
  for (const auto& [name, values] : arrays) {
    if (name.starts_with(null_prefix)) null[name.substr(std::string(null_prefix).size())] = values;
  }
  return null;
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

// Clean latents at the noise level before a row of the table.
Floats noised(const Settings& settings, const Floats& clean, const Floats& noise, int row) {
  const auto alpha = static_cast<float>(settings.schedule.alphas.at(static_cast<std::size_t>(row)));
  const auto sigma = static_cast<float>(settings.schedule.sigmas.at(static_cast<std::size_t>(row)));
  Floats latents(clean.size());
  for (std::size_t i = 0; i < clean.size(); ++i) latents[i] = alpha * clean[i] + sigma * noise[i];
  return latents;
}

// Latents (1, C, h, w) with the picture put back where the mask (h, w) keeps it.
void keep(Floats& latents, const Floats& picture, const Floats& mask) {
  for (std::size_t i = 0; i < latents.size(); ++i) {
    const float anew = mask[i % mask.size()];
    latents[i] = anew * latents[i] + (1.0F - anew) * picture[i];
  }
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
  const std::size_t windows = windows_of(manifest, *context, find_tensor(step->inputs, "context"));
  const bool uses_mask = find_tensor(text->inputs, "mask") != nullptr;
  const TensorSpec* scales = find_tensor(step->inputs, "hint_scales");
  const std::size_t controls = scales == nullptr ? 0 : scales->count();
  require((controls > 0) == (manifest.stage("encode_hint") != nullptr),
          "manifest.json: expected the stage encode_hint exactly for a model with ControlNets; export the bundle again");
  const TensorSpec *factors = find_tensor(step->inputs, "adapters"), *of_adapters = find_tensor(step->inputs, "adapter_scales");
  const bool switched = factors != nullptr && of_adapters != nullptr && factors->shape.size() == 3 &&
                        of_adapters->count() == static_cast<std::size_t>(factors->shape[0]);
  require(switched || (factors == nullptr && of_adapters == nullptr),
          "manifest.json: expected factors and scales of as many adapters; export the bundle again");
  Settings settings = {*latents, *image, uses_mask, manifest.schedule, task_of(manifest), windows, manifest.text_widths,
                       controls, switched ? factors->shape : std::vector<std::int64_t>()};
  divide(manifest, settings);
  return settings;
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
  check_hints(settings, request.hints);
  const Outputs text = encode(run, tokenizer, settings, request.prompt, request.syntax);
  const bool zeros = settings.schedule.zero_null && request.negative.empty();
  const bool encoded = settings.schedule.guidance_kind == "cfg" && !zeros;
  const Outputs null = encoded ? encode(run, tokenizer, settings, request.negative, request.syntax) : Outputs();
  Arrays arrays = with_guidance(settings, text, null, request.guidance);
  if (!request.hints.empty()) {
    arrays["hint_features"] = run("encode_hint", {{"hints", hint_images(request.hints)}}).at("hint_features");
    arrays["hint_scales"] = hint_scales(request.hints);
  }
  arrays.merge(adapter_inputs(settings, request.adapters));
  const Floats image = read_image(settings, request.start);
  if (image.empty()) return arrays;
  const Floats mask = latent_mask(settings, request.start ? request.start->mask : std::vector<std::uint8_t>());
  const auto scale = request.start ? request.start->image_guidance : std::nullopt;
  const Floats latents = encode_picture(run, settings, image);
  arrays.merge(picture_inputs(settings, latents, mask, request.guidance, scale));
  return arrays;
}

Arrays with_guidance(const Settings& settings, const Outputs& text, const Outputs& null, double guidance) {
  Arrays arrays(text.begin(), text.end());
  if (settings.schedule.guidance_kind != "cfg") return arrays;
  for (const auto& [name, values] : text) {
    const auto found = null.find(name);
    arrays[null_prefix + name] = found == null.end() ? Floats(values.size(), 0.0F) : found->second;
  }
  arrays["guidance"] = Floats{static_cast<float>(guidance)};
  return arrays;
}

State first_state(const Settings& settings, std::uint64_t seed) {
  const std::size_t count = settings.latents.count();
  return {gaussian(seed, count), Floats(settings.schedule.memory * count, 0.0F)};
}

State first_state(const Settings& settings, std::uint64_t seed, const Floats& clean, int row) {
  State state = first_state(settings, seed);
  state.latents = noised(settings, clean, state.latents, row);
  return state;
}

Arrays step_inputs(const Settings& settings, const Arrays& conditions, const State& state, int step,
                   std::uint64_t seed) {
  Arrays arrays = conditions;
  if (!settings.schedule.shares.empty()) {
    for (const auto& [name, values] : null_of(conditions)) arrays.erase(null_prefix + name);
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
    for (auto& [name, values] : null_of(conditions)) null[name] = values;
    guide(inputs, run("denoise", null).at("output"), scale);
  }
  Outputs outputs = run("denoise", inputs);
  State next{std::move(outputs.at("latents")), {}};
  if (settings.schedule.memory > 0) next.memory = std::move(outputs.at("memory"));
  return next;
}

Picture draw(const RunStage& run, const Settings& settings, const Request& request, const Arrays& conditions,
             const OnStep& on_step) {
  const std::size_t skipped = skipped_steps(settings, request.start);
  const std::vector<int> rows = settings.schedule.rows(skipped);
  State state = first_state(settings, request.seed);
  const Floats noise = state.latents;
  Floats clean, mask;
  if (const Floats image = clean_image(settings, request.start, skipped); !image.empty()) {
    clean = encode_picture(run, settings, image);
    const bool masked = !request.start->mask.empty();
    if (!masked || skipped > 0) state = first_state(settings, request.seed, clean, rows.at(0));
    if (masked && settings.task == Task::draw) mask = latent_mask(settings, request.start->mask);
  }
  const std::size_t first = settings.steps() - rows.size();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    state = denoise(run, settings, conditions, state, rows[i], request.seed);
    if (!mask.empty()) {
      const bool last = i + 1 == rows.size();
      keep(state.latents, last ? clean : noised(settings, clean, noise, rows[i + 1]), mask);
    }
    if (on_step) on_step(static_cast<int>(first + i), state.latents);
  }
  check_finite("latents", state.latents);
  return to_picture(decode_picture(run, settings, state.latents), settings.image);
}

}  // namespace runner
