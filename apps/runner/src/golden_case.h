// One case of golden/index.json: every tensor at a stage's boundary while PyTorch drew one picture.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bundle.h"
#include "program.h"

namespace runner {

struct GoldenCase {
  std::string prompt;
  std::uint64_t seed = 0;
  double guidance = 0;
  std::size_t first_step = 0;  // steps that were skipped
  std::size_t state_count = 0;  // states that were recorded: one more than steps
  std::map<std::string, Floats> floats;
  std::map<std::string, Integers> integers;

  bool has(const std::string& name) const { return floats.count(name) == 1; }
  // A recorded state: latents, then memory.
  Floats state(std::size_t number) const;
};

// All cases of a bundle, each file checked against its hash; throws Error when one is malformed.
std::vector<GoldenCase> read_golden(const Bundle& bundle);

}  // namespace runner
