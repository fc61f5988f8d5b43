// A prompt as the text encoder reads it: windows of tokens, with a weight per token (mobile_diffusion/prompts).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pieces.h"
#include "program.h"
#include "start.h"
#include "tokens.h"

namespace runner {

// Of SDXL's two tokenizers, the second's L tokens and weights follow the first's.
struct Window {
  Tokens tokens;
  std::vector<double> weights;
};

// A prompt, or Compel's without a word of a weight below 1, and its share in the mixture.
struct Version {
  double share = 1;
  std::vector<Window> windows;
};

struct Reading {
  std::vector<Version> versions;  // the whole prompt first
  std::optional<Tokens> empty;    // the empty prompt, if weights lead away from it
  bool cut = false;               // whether the end of the prompt did not fit
};

// Reads a prompt into exactly so many windows; throws Error.
Reading read_prompt(const Tokenizer& tokenizer, const std::string& prompt, Syntax syntax, std::size_t windows);

// The outputs of `encode_text` for tokens.
using EncodeWindow = std::function<Outputs(const Tokens& tokens)>;

// The same for a reading, weighted, mixed and joined along the tokens; throws Error when weights leave no finite text.
Outputs encode_reading(const Reading& reading, const Settings& settings, const EncodeWindow& encode);

}  // namespace runner
