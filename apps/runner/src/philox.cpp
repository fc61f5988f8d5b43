#include "philox.h"

#include <cmath>
#include <numbers>

namespace runner {
namespace {

constexpr std::uint64_t multipliers[] = {0xD2511F53, 0xCD9E8D57};
constexpr std::uint32_t weyl[] = {0x9E3779B9, 0xBB67AE85};
constexpr int rounds = 10;

std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
std::uint32_t high(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }

// Two deviates from two words, in float64: never the logarithm of 0.
std::array<double, 2> box_muller(std::uint32_t first, std::uint32_t second) {
  const double u1 = (first + 0.5) / 4294967296.0, u2 = (second + 0.5) / 4294967296.0;
  const double radius = std::sqrt(-2.0 * std::log(u1)), angle = 2.0 * std::numbers::pi * u2;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace

Words philox(std::array<std::uint32_t, 2> key, Words counter) {
  auto [c0, c1, c2, c3] = counter;
  for (int round = 0; round < rounds; ++round) {
    const std::uint64_t product0 = c0 * multipliers[0], product1 = c2 * multipliers[1];
    c0 = high(product1) ^ c1 ^ key[0];
    c1 = low(product1);
    c2 = high(product0) ^ c3 ^ key[1];
    c3 = low(product0);
    key[0] += weyl[0];
    key[1] += weyl[1];
  }
  return {c0, c1, c2, c3};
}

std::vector<float> gaussian(std::uint64_t seed, std::size_t count, std::uint64_t tensor) {
  const std::uint64_t blocks = (count + 3) / 4;
  std::vector<float> deviates;
  deviates.reserve(4 * blocks);
  for (std::uint64_t block = tensor * blocks; block < (tensor + 1) * blocks; ++block) {
    const Words words = philox({low(seed), high(seed)}, {low(block), high(block), 0, 0});
    for (const auto& [first, second] : {std::pair(words[0], words[1]), std::pair(words[2], words[3])}) {
      for (const double deviate : box_muller(first, second)) deviates.push_back(static_cast<float>(deviate));
    }
  }
  deviates.resize(count);
  return deviates;
}

}  // namespace runner
