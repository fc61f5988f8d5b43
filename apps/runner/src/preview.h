// A cheap look at latents while they clear (export/job/preview.py): one pixel for each of their places.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle.h"
#include "picture.h"

namespace runner {

// rgb = bias + sum over channels of weight * latent: what preview.json holds.
struct Preview {
  std::array<std::vector<double>, 3> weights;  // a number for each of the C channels
  std::array<double, 3> bias;

  // Latents (1, C, h, w) as pixels, rounded half to even; throws Error on NaN or infinity.
  Picture operator()(const std::vector<float>& latents, const TensorSpec& spec) const;
};

// Reads a preview for latents of so many channels; throws Error naming `where` when the text is none.
Preview parse_preview(std::string_view text, std::int64_t channels, const std::string& where);

// The preview of a bundle that has one, checked against its hash.
std::optional<Preview> read_preview(const Bundle& bundle, std::int64_t channels);

}  // namespace runner
