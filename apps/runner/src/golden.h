// Replays the golden vectors of a bundle: how far this machine's stages are from PyTorch's (export/parity/golden.py).
#pragma once

#include "bundle.h"
#include "drawing.h"

namespace runner {

enum class Depth { step, trajectory };  // the first step and a decoding, or all steps and the picture they make

struct Replay {
  std::string report;   // JSON
  bool passed = false;  // whether every check keeps the limit that the manifest states for it
};

// Throws Error when the vectors are malformed, or a stage cannot be run.
Replay replay_golden(const Bundle& bundle, const RunStage& run, const Tokenizer& tokenizer, const Settings& settings,
                     Depth depth);

}  // namespace runner
