// Adapters: LoRAs that a drawing turns on and off (mobile_diffusion/adapters.py, export/bundle/adapter_files.py).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bundle.h"
#include "program.h"
#include "start.h"

namespace runner {

inline constexpr double max_adapter_scale = 5.0;

// One that is on.
struct Adapter {
  std::string name;
  Floats factors;  // (r, P)
  double scale = 1;
};

// What the adapters of a bundle change.
struct AdapterRoom {
  Texts names;              // of the bundle's own, in order
  std::string fingerprint;  // of the rank and the layers, which the file of an adapter repeats
  std::vector<std::int64_t> shape;  // rank and columns
};

// Reads the index for adapters of `shape`, (n, r, P); throws Error unless it fits.
AdapterRoom read_adapter_index(std::string_view text, const std::vector<std::int64_t>& shape, const std::string& where);

// The factors in the file of an adapter; throws Error unless it fits the room.
Floats read_factors(std::string_view bytes, const AdapterRoom& room, const std::string& where);

// The adapters that are on, of the bundle or of `files` that were made for it later; throws Error for a name that is
// unknown or used twice, for a scale that is not from -5 to 5, and for more than there is room for.
std::vector<Adapter> read_adapters(const Bundle& bundle, const Settings& settings,
                                   const std::vector<std::pair<std::string, double>>& scales,
                                   const std::vector<std::filesystem::path>& files);

// What `denoise` takes at every step: those that are on take the first slots in order, the other slots are zeros.
// Throws Error for more than there are slots, or for another shape.
Arrays adapter_inputs(const Settings& settings, const std::vector<Adapter>& adapters);

}  // namespace runner
