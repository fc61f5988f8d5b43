// The command line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "golden.h"
#include "pieces.h"

namespace runner {

extern const char* const usage;

struct Options {
  bool help = false;
  std::filesystem::path bundle;
  std::optional<std::string> prompt;
  std::string negative;
  Syntax syntax = Syntax::plain;
  std::uint64_t seed = 0;
  std::optional<double> guidance;  // of the bundle when none is given
  std::optional<std::filesystem::path> image, mask;  // to start from
  std::optional<double> strength;                    // 0.8 when none is given, and 1 with a mask
  std::optional<double> image_guidance;              // 1.5 when none is given
  std::vector<std::filesystem::path> hints;          // one per ControlNet
  std::vector<double> hint_scales;                   // of each; 1 when none is given
  std::vector<std::pair<std::string, double>> adapter_scales;  // of adapters that are on, by name
  std::vector<std::filesystem::path> adapter_files;            // made for the bundle later
  std::int64_t batch = 1;                            // pictures, with this seed and those after it
  std::optional<std::filesystem::path> out, previews, steps_json, packed;
  std::int64_t threads = 2;
  std::int64_t benchmark = 0;  // runs of each stage; 0 to draw
  bool sequential = false, golden = false;
  Depth depth = Depth::trajectory;
};

// Throws Error in one line for an option that is unknown, incomplete, or has a value that cannot be used.
Options parse_options(const std::vector<std::string>& arguments);

}  // namespace runner
