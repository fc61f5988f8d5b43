#include "picture.h"

#include <algorithm>
#include <cmath>

#include "error.h"

namespace runner {

void check_finite(const std::string& name, const std::vector<float>& values) {
  const auto wrong = std::count_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  require(wrong == 0, name + ": expected finite values, got " + std::to_string(wrong) + " NaN or infinite of " +
                          std::to_string(values.size()) +
                          "; the weights, or the precision of the artifact, are at fault");
}

Picture to_picture(const std::vector<float>& image, const TensorSpec& spec) {
  check_finite("image", image);
  Picture picture{spec.shape[3], spec.shape[2], {}};
  const auto area = static_cast<std::size_t>(picture.width * picture.height);
  picture.pixels.resize(3 * area);
  for (std::size_t channel = 0; channel < 3; ++channel) {
    for (std::size_t i = 0; i < area; ++i) {
      const float value = std::clamp(image[channel * area + i], 0.0F, 1.0F) * 255.0F;
      picture.pixels[3 * i + channel] = static_cast<std::uint8_t>(std::nearbyint(value));
    }
  }
  return picture;
}

std::vector<float> to_image(const Picture& picture) {
  const auto area = static_cast<std::size_t>(picture.width * picture.height);
  std::vector<float> image(3 * area);
  for (std::size_t channel = 0; channel < 3; ++channel) {
    for (std::size_t i = 0; i < area; ++i) {
      image[channel * area + i] = static_cast<float>(picture.pixels[3 * i + channel] / 255.0);
    }
  }
  return image;
}

}  // namespace runner
