#include "picture_file.h"

#include <algorithm>
#include <memory>

#include "error.h"
#include "files.h"
#include "quote.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace runner {
namespace {

constexpr std::int64_t max_pixels = std::int64_t{1} << 26;
constexpr int channels = 4;

struct Free {
  void operator()(stbi_uc* pixels) const { stbi_image_free(pixels); }
};

const stbi_uc* data_of(const std::string& bytes) { return reinterpret_cast<const stbi_uc*>(bytes.data()); }

// A colour value over white: both are blended by the alpha value, rounded.
std::uint8_t on_white(int value, int alpha) {
  return static_cast<std::uint8_t>((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

// The grey value of a pixel by ITU-R 601-2, in 16 bits as Pillow computes it.
int grey(const std::uint8_t* pixel) {
  return (19595 * pixel[0] + 38470 * pixel[1] + 7471 * pixel[2] + 0x8000) >> 16;
}

}  // namespace

Picture read_picture(const std::filesystem::path& path) {
  const std::string bytes = read_file(path), name = quote(path.string());
  const int size = static_cast<int>(std::min<std::size_t>(bytes.size(), INT32_MAX));
  int width = 0, height = 0, own_channels = 0;
  const bool known = stbi_info_from_memory(data_of(bytes), size, &width, &height, &own_channels) != 0;
  require(known, name + ": expected a PNG picture, got another file; save it as PNG");
  require(std::int64_t{width} * height <= max_pixels, name + ": expected a picture of at most 67 megapixels, got " +
                                                          std::to_string(width) + " x " + std::to_string(height) +
                                                          "; make it smaller");
  require(stbi_is_16_bit_from_memory(data_of(bytes), size) == 0,
          name + ": expected 8 bits a channel, got 16; save it in 8 bits");
  const std::unique_ptr<stbi_uc, Free> pixels(
      stbi_load_from_memory(data_of(bytes), size, &width, &height, &own_channels, channels));
  require(pixels != nullptr, name + ": expected a whole PNG picture, got a damaged one; save it again");
  Picture picture{width, height, {}};
  const std::size_t area = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  picture.pixels.resize(3 * area);
  for (std::size_t i = 0; i < area; ++i) {
    const stbi_uc* from = pixels.get() + channels * i;
    std::transform(from, from + 3, picture.pixels.begin() + static_cast<std::ptrdiff_t>(3 * i),
                   [&](int value) { return on_white(value, from[3]); });
  }
  return picture;
}

std::vector<std::uint8_t> read_mask(const std::filesystem::path& path, std::int64_t height, std::int64_t width) {
  const Picture picture = read_picture(path);
  require(picture.height == height && picture.width == width,
          "mask: expected " + std::to_string(width) + " x " + std::to_string(height) + " pixels, got " +
              std::to_string(picture.width) + " x " + std::to_string(picture.height) + "; resize it");
  std::vector<std::uint8_t> mask(picture.pixels.size() / 3);
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = grey(&picture.pixels[3 * i]) >= 128 ? 1 : 0;
  return mask;
}

}  // namespace runner
