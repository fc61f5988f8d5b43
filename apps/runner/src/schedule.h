// The steps of a picture as a manifest states them; their coefficients are inside the program.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "json.h"

namespace runner {

struct Schedule {
  std::vector<double> alphas, sigmas;
  std::vector<std::vector<int>> starts;  // steps of `denoise` of drawings that skip 0, 1, ... steps; or empty
  std::size_t memory = 0;   // tensors that the solver remembers
  bool stochastic = false;  // whether noise is added at the steps
  std::string guidance_kind;
  double guidance = 0;
  std::vector<double> shares;  // of the guidance at each row; empty where all steps are guided alike
  bool zero_null = false;      // whether a missing negative prompt is zeros instead of the encoded empty prompt

  // The steps of `denoise` of a drawing that skips so many; none when it cannot.
  std::vector<int> rows(std::size_t skipped = 0) const;
};

// Reads the field "schedule" of a manifest; throws Error naming what is malformed.
Schedule read_schedule(const Json& value);

}  // namespace runner
