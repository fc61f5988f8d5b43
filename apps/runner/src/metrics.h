// How far values are from their reference, in float64, normalised by the reference (export/parity/metrics.py).
#pragma once

#include <span>

namespace runner {

struct Distance {
  double snr_db = 0;   // energy of the reference over energy of the error; infinite when equal, NaN when not finite
  double psnr_db = 0;  // the same for values in [0, 1], over 1
  double max_abs = 0;
};

// Throws Error when the sizes differ or are 0.
Distance compare(std::span<const float> reference, std::span<const float> candidate);

}  // namespace runner
