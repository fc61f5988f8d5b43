#include "preview.h"

#include <algorithm>
#include <cmath>

#include "error.h"
#include "files.h"
#include "json.h"

namespace runner {
namespace {

constexpr const char* file_name = "preview.json";

}  // namespace

Picture Preview::operator()(const std::vector<float>& latents, const TensorSpec& spec) const {
  check_finite("latents", latents);
  Picture picture{spec.shape[3], spec.shape[2], {}};
  const auto area = static_cast<std::size_t>(picture.width * picture.height);
  picture.pixels.resize(3 * area);
  for (std::size_t color = 0; color < 3; ++color) {
    for (std::size_t i = 0; i < area; ++i) {
      double value = bias[color];
      for (std::size_t channel = 0; channel < weights[color].size(); ++channel) {
        value += weights[color][channel] * static_cast<double>(latents[channel * area + i]);
      }
      picture.pixels[3 * i + color] = static_cast<std::uint8_t>(std::nearbyint(std::clamp(value, 0.0, 1.0) * 255.0));
    }
  }
  return picture;
}

Preview parse_preview(std::string_view text, std::int64_t channels, const std::string& where) {
  const Json value = parse_json(text, where);
  const Fields fields(value, where, {"weights", "bias"});
  const auto bias = fields.numbers("bias");
  const Json& rows = fields.list("weights");
  if (bias.size() != 3) fields.refuse("bias", "3 numbers");
  if (rows.size() != 3) fields.refuse("weights", "3 lists");
  Preview preview;
  for (std::size_t color = 0; color < 3; ++color) {
    const Json row = {{"weights", rows[color]}};
    preview.weights[color] = Fields(row, where, {"weights"}).numbers("weights");
    const bool fits = static_cast<std::int64_t>(preview.weights[color].size()) == channels;
    if (!fits) fields.refuse("weights", "a number for each of " + std::to_string(channels) + " channels");
    preview.bias[color] = bias[color];
  }
  return preview;
}

std::optional<Preview> read_preview(const Bundle& bundle, std::int64_t channels) {
  if (bundle.manifest.files.count(file_name) == 0) return std::nullopt;
  const auto path = bundle.verified(file_name);
  return parse_preview(read_file(path), channels, path.string());
}

}  // namespace runner
