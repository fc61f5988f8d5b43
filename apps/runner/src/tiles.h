// Big pictures by overlapping tiles, so that neither decoder nor encoder holds a whole one (mobile_diffusion/tiles.py).
#pragma once

#include <cstddef>
#include <vector>

#include "program.h"
#include "start.h"

namespace runner {

// Where the tiles along a side begin: the fewest that share a quarter with their neighbours, evenly, rounded down.
std::vector<std::size_t> tile_starts(std::size_t whole, std::size_t tile);

// Latents (1, C, h, w) to an image (1, 3, H, W), whole or by tiles.
Floats decode_picture(const RunStage& run, const Settings& settings, const Floats& latents);

// An image (1, 3, H, W) to latents (1, C, h, w), whole or by tiles.
Floats encode_picture(const RunStage& run, const Settings& settings, const Floats& image);

// What one call of `decode_image` takes of latents (1, C, h, w): the first tile, or all of them.
Floats first_tile(const Settings& settings, const Floats& latents);

}  // namespace runner
