// Pixels, from the image that a decoder gives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "manifest.h"

namespace runner {

struct Picture {
  std::int64_t width = 0, height = 0;
  std::vector<std::uint8_t> pixels;  // rows of red, green, blue
};

// Throws Error naming `name` and how many values are NaN or infinite.
void check_finite(const std::string& name, const std::vector<float>& values);

// An image (1, 3, H, W) in [0, 1] as pixels, rounded half to even; throws Error on NaN.
Picture to_picture(const std::vector<float>& image, const TensorSpec& spec);

// Pixels as an image (1, 3, H, W) in [0, 1].
std::vector<float> to_image(const Picture& picture);

}  // namespace runner
