// The picture that a drawing starts from, and what the stages take of it (mobile_diffusion/start.py).
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "manifest.h"
#include "picture.h"
#include "program.h"

namespace runner {

inline constexpr double max_guidance = 30.0;  // a scale of 1 or less is no guidance

// What a model does: inpaint also reads a mask and the rest of a picture, edit changes a picture.
enum class Task { draw, inpaint, edit };

// The facts of a bundle that drawing needs.
struct Settings {
  TensorSpec latents, image;
  bool uses_mask = false;
  Schedule schedule;
  Task task = Task::draw;
  std::size_t windows = 1;                // of a prompt, each encoded by itself
  std::vector<std::int64_t> text_widths;  // of the context per text encoder
  std::size_t controls = 0;               // ControlNets, each of which reads a hint
  std::vector<std::int64_t> adapters;     // shape (n, r, P) of the factors of n adapters; empty for none
  // Height and width in latents of the tiles that the autoencoder's stages take; none for whole pictures.
  std::optional<std::pair<std::size_t, std::size_t>> tile = std::nullopt;

  std::size_t steps() const { return schedule.rows().size(); }
};

// A picture to start from.
struct Start {
  Picture picture;
  std::optional<double> strength = std::nullopt;  // share of the steps that are made; 0.8 by default, 1 if it is read
  std::vector<std::uint8_t> mask = {};            // (H, W): 1 where it is drawn anew, 0 where it is kept; empty for none
  std::optional<double> image_guidance = std::nullopt;  // 1 to 30, by a model that edits pictures; 1.5 by default
};

// What a model does, by the inputs of its `denoise`; throws Error for one that lacks the stage encode_image.
Task task_of(const Manifest& manifest);

// Throws Error when the bundle cannot start from this picture, or not without one.
void check_start(const Manifest& manifest, const Settings& settings, const std::optional<Start>& start);

// The steps that a drawing skips; throws Error for a strength without steps.
std::size_t skipped_steps(const Settings& settings, const std::optional<Start>& start);

// The image (1, 3, H, W) whose latents `denoise` reads at every step: empty for a model that reads none.
Floats read_image(const Settings& settings, const std::optional<Start>& start);

// The image whose latents a drawing starts from, or keeps; empty without.
Floats clean_image(const Settings& settings, const std::optional<Start>& start, std::size_t skipped);

// A mask of pixels as one of latents (h, w): the upper left pixel of each block decides; ones without a mask.
Floats latent_mask(const Settings& settings, const std::vector<std::uint8_t>& mask);

// What `denoise` takes of those latents (1, C, h, w); `guidance` is the scale towards the prompt.
Arrays picture_inputs(const Settings& settings, const Floats& latents, const Floats& mask, double guidance,
                      std::optional<double> image_guidance = std::nullopt);

}  // namespace runner
