// Gaussian noise that is the same in every language: Philox4x32-10 and Box-Muller (mobile_diffusion/noise.py).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace runner {

using Words = std::array<std::uint32_t, 4>;

// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
Words philox(std::array<std::uint32_t, 2> key, Words counter);

// `count` normal deviates in C order; tensor 1, 2, ... of a seed begin at blocks that the ones before do not touch.
std::vector<float> gaussian(std::uint64_t seed, std::size_t count, std::uint64_t tensor = 0);

}  // namespace runner
