#include "hint.h"

#include <string>

#include "error.h"
#include "numbers.h"

namespace runner {
namespace {

std::string count_of(std::size_t count, const char* none) { return count == 0 ? none : std::to_string(count); }

}  // namespace

void check_hints(const Settings& settings, const std::vector<Hint>& hints) {
  const std::size_t wanted = settings.controls;
  const char* fix = wanted > 0 ? "give one per ControlNet, in their order" : "leave it out";
  require(hints.size() == wanted, "hint: expected " + count_of(wanted, "none") + ", as this model has " +
                                      count_of(wanted, "no") + " ControlNet" + (wanted == 1 ? "" : "s") + ", got " +
                                      count_of(hints.size(), "none") + "; " + fix);
  const auto& image = settings.image.shape;
  for (const Hint& hint : hints) {
    const bool fits = hint.picture.height == image[2] && hint.picture.width == image[3];
    require(fits, "hint: expected " + std::to_string(image[3]) + " x " + std::to_string(image[2]) + " pixels, got " +
                      std::to_string(hint.picture.width) + " x " + std::to_string(hint.picture.height) +
                      "; resize it");
    require(hint.scale >= 0 && hint.scale <= max_hint_scale,
            "hint scale: expected a number from 0 to " + format_number(max_hint_scale) + ", got " +
                format_number(hint.scale));
  }
}

Floats hint_images(const std::vector<Hint>& hints) {
  Floats all;
  for (const Hint& hint : hints) {
    const Floats image = to_image(hint.picture);
    all.insert(all.end(), image.begin(), image.end());
  }
  return all;
}

Floats hint_scales(const std::vector<Hint>& hints) {
  Floats scales;
  for (const Hint& hint : hints) scales.push_back(static_cast<float>(hint.scale));
  return scales;
}

}  // namespace runner
