#include "metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "error.h"

namespace runner {
namespace {

double decibel(double signal, double error) {
  return error == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(signal / error);
}

}  // namespace

Distance compare(std::span<const float> reference, std::span<const float> candidate) {
  require(reference.size() == candidate.size() && !reference.empty(),
          "expected an output of " + std::to_string(reference.size()) + " values, as PyTorch gives, got " +
              std::to_string(candidate.size()));
  double signal = 0, error = 0, largest = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double difference = double{candidate[i]} - double{reference[i]};
    signal += double{reference[i]} * double{reference[i]};
    error += difference * difference;
    largest = std::isnan(difference) ? difference : std::max(largest, std::abs(difference));
  }
  if (std::isinf(error)) error = std::numeric_limits<double>::quiet_NaN();
  return {decibel(signal, error), decibel(1.0, error / static_cast<double>(reference.size())), largest};
}

}  // namespace runner
