#include "start.h"

#include <algorithm>
#include <string>

#include "error.h"
#include "numbers.h"

namespace runner {
namespace {

constexpr double own_strength = 0.8, own_image_guidance = 1.5;
constexpr float grey = 0.5F;  // painted where a picture is drawn anew

void check_picture(const Manifest& manifest, const Settings& settings, const Start& start) {
  require(manifest.stage("encode_image") != nullptr,
          "picture: expected a bundle that was exported with --image-to-image, got one that was not; export it again");
  const auto& image = settings.image.shape;
  const bool fits = start.picture.height == image[2] && start.picture.width == image[3];
  require(fits, "picture: expected " + std::to_string(image[3]) + " x " + std::to_string(image[2]) + " pixels, got " +
                    std::to_string(start.picture.width) + " x " + std::to_string(start.picture.height) +
                    "; resize it");
  const auto pixels = static_cast<std::size_t>(image[2] * image[3]);
  require(start.mask.empty() || start.mask.size() == pixels,
          "mask: expected " + std::to_string(pixels) + " values, got " + std::to_string(start.mask.size()));
}

void check_editing(const std::optional<Start>& start) {
  require(start.has_value(), "picture: expected one, as this model edits a picture, got none; give it one");
  require(start->mask.empty(), "mask: expected none, as this model edits the whole picture, got one; leave it out");
  const double strength = start->strength.value_or(1), scale = start->image_guidance.value_or(1);
  require(strength == 1, "strength: expected 1, as this model makes every step, got " + format_number(strength) +
                             "; leave it out");
  require(scale >= 1 && scale <= max_guidance, "image guidance: expected a number from 1 to " +
                                                   format_number(max_guidance) + ", got " + format_number(scale));
}

}  // namespace

Task task_of(const Manifest& manifest) {
  const StageSpec* step = manifest.stage("denoise");
  const auto takes = [&](const char* name) {
    return std::any_of(step->inputs.begin(), step->inputs.end(), [&](const auto& each) { return each.name == name; });
  };
  const Task task = takes("masked_latents") ? Task::inpaint : takes("image_latents") ? Task::edit : Task::draw;
  require(task == Task::draw || manifest.stage("encode_image") != nullptr,
          "manifest.json: expected the stage encode_image for a model that reads a picture, got none; export the "
          "bundle again");
  return task;
}

void check_start(const Manifest& manifest, const Settings& settings, const std::optional<Start>& start) {
  if (start) check_picture(manifest, settings, *start);
  if (settings.task == Task::edit) {
    check_editing(start);
  } else if (start) {
    require(settings.task == Task::draw || !start->mask.empty(),
            "mask: expected one with the picture, as this model inpaints, got none; give it one");
    require(!start->image_guidance, "image guidance: expected none, as this model edits no pictures, got " +
                                        format_number(start->image_guidance.value_or(0)));
  }
  skipped_steps(settings, start);
}

std::size_t skipped_steps(const Settings& settings, const std::optional<Start>& start) {
  if (!start) return 0;
  const double strength = start->strength.value_or(settings.task == Task::draw ? own_strength : 1);
  require(strength > 0 && strength <= 1,
          "strength: expected a number above 0 and up to 1, got " + format_number(strength));
  const Schedule& schedule = settings.schedule;
  const std::size_t steps = schedule.starts.empty() ? schedule.alphas.size() : schedule.starts.size();
  const auto made = std::min(static_cast<std::size_t>(static_cast<double>(steps) * strength), steps);
  const std::string all = std::to_string(steps);
  require(made > 0, "strength: expected 1/" + all + " or more for " + all + " steps, got " + format_number(strength));
  return steps - made;
}

Floats read_image(const Settings& settings, const std::optional<Start>& start) {
  if (settings.task == Task::draw) return {};
  Floats image = start ? to_image(start->picture) : Floats(settings.image.count(), grey);
  if (settings.task == Task::edit || !start) return image;
  for (std::size_t i = 0; i < image.size(); ++i) {
    if (start->mask[i % start->mask.size()] != 0) image[i] = grey;
  }
  return image;
}

Floats clean_image(const Settings& settings, const std::optional<Start>& start, std::size_t skipped) {
  const bool reads = settings.task == Task::edit || (settings.task == Task::inpaint && skipped == 0);
  return start && !reads ? to_image(start->picture) : Floats();
}

Floats latent_mask(const Settings& settings, const std::vector<std::uint8_t>& mask) {
  const auto size = [](const TensorSpec& spec, std::size_t axis) { return static_cast<std::size_t>(spec.shape[axis]); };
  const std::size_t rows = size(settings.latents, 2), columns = size(settings.latents, 3);
  const std::size_t width = size(settings.image, 3), down = size(settings.image, 2) / rows, across = width / columns;
  Floats found(rows * columns, 1.0F);
  if (mask.empty()) return found;
  for (std::size_t i = 0; i < found.size(); ++i) found[i] = mask[i / columns * down * width + i % columns * across];
  return found;
}

Arrays picture_inputs(const Settings& settings, const Floats& latents, const Floats& mask, double guidance,
                      std::optional<double> image_guidance) {
  if (settings.task == Task::draw) return {};
  if (settings.task == Task::inpaint) return {{"mask", mask}, {"masked_latents", latents}};
  Arrays arrays = {{"image_latents", latents}};
  if (settings.schedule.guidance_kind != "cfg") return arrays;
  const bool guided = static_cast<float>(guidance) > 1;
  const double scale = guided ? image_guidance.value_or(own_image_guidance) : 1;
  arrays["image_guidance"] = Floats{static_cast<float>(scale)};
  return arrays;
}

}  // namespace runner
