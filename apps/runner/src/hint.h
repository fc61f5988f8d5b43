// The hints of a drawing: a picture per ControlNet, with the strength of its effect (mobile_diffusion/hint.py).
#pragma once

#include <vector>

#include "picture.h"
#include "start.h"

namespace runner {

inline constexpr double max_hint_scale = 2.0;

struct Hint {
  Picture picture;
  double scale = 1;  // 0 to 2
};

// Throws Error unless there is one hint per ControlNet, of the pictures' size, with a scale from 0 to 2.
void check_hints(const Settings& settings, const std::vector<Hint>& hints);

// The input of `encode_hint` for n ControlNets, (n, 3, H, W).
Floats hint_images(const std::vector<Hint>& hints);

// The input `hint_scales` of `denoise`, (n,).
Floats hint_scales(const std::vector<Hint>& hints);

}  // namespace runner
