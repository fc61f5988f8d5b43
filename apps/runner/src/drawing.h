// From a prompt to a picture: the loop that every app runs (mobile_diffusion/drawing.py).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "adapter.h"
#include "hint.h"
#include "manifest.h"
#include "picture.h"
#include "pieces.h"
#include "program.h"
#include "start.h"
#include "tokens.h"

namespace runner {

// Called after each step with its number from 0 and the latents (1, C, h, w) after it.
using OnStep = std::function<void(int step, const Floats& latents)>;

// Throws Error when the stages of a manifest do not take latents and give an image.
Settings settings_of(const Manifest& manifest);

// What changes from step to step: latents (1, C, h, w), and what the solver remembers (1, M * C, h, w).
struct State {
  Floats latents, memory;
};

struct Request {
  std::string prompt, negative;
  std::uint64_t seed = 0;
  double guidance = 0;
  std::optional<Start> start = std::nullopt;
  Syntax syntax = Syntax::plain;  // how both prompts write weights
  std::vector<Hint> hints = {};   // one per ControlNet
  std::vector<Adapter> adapters = {};  // those that are on
};

// A warning in one line for a negative prompt that has no effect, as without guidance; else nothing.
std::string unused_negative(const Settings& settings, const Request& request);

// The inputs of `encode_text` for tokens.
Arrays text_inputs(const Settings& settings, const Tokens& tokens);

// The inputs of `denoise` that stay the same at every step, of texts and of a picture that it reads; throws Error for a
// prompt or scale that cannot be used.
Arrays conditions(const RunStage& run, const Tokenizer& tokenizer, const Settings& settings, const Request& request);

// The same of encoded texts: with cfg also the scale, and zeros in place of a null text that was not encoded.
Arrays with_guidance(const Settings& settings, const Outputs& text, const Outputs& null, double guidance);

// The noise of a seed, or clean latents (1, C, h, w) noised to the level before a row of the table; an empty memory.
State first_state(const Settings& settings, std::uint64_t seed);
State first_state(const Settings& settings, std::uint64_t seed, const Floats& clean, int row);

// All inputs of `denoise` at a step.
Arrays step_inputs(const Settings& settings, const Arrays& conditions, const State& state, int step,
                   std::uint64_t seed);

// One step further.
State denoise(const RunStage& run, const Settings& settings, const Arrays& conditions, const State& state, int step,
              std::uint64_t seed);

// Draws with the `conditions` of a request, whatever its seed; throws Error when the stages give NaN or infinity.
Picture draw(const RunStage& run, const Settings& settings, const Request& request, const Arrays& conditions,
             const OnStep& on_step = nullptr);

}  // namespace runner
