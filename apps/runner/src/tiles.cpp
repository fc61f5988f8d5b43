#include "tiles.h"

#include <utility>

namespace runner {
namespace {

constexpr std::size_t overlap = 4;  // neighbours share at least this part of a tile: a quarter

// Values (C, height, width).
struct Map {
  std::size_t channels, height, width;
  Floats values;

  float& at(std::size_t channel, std::size_t row, std::size_t column) {
    return values[(channel * height + row) * width + column];
  }
};

std::size_t side(const TensorSpec& spec, std::size_t axis) { return static_cast<std::size_t>(spec.shape.at(axis)); }

Map blank(std::size_t channels, std::size_t height, std::size_t width) {
  return {channels, height, width, Floats(channels * height * width)};
}

Map whole_of(const TensorSpec& spec, const Floats& values) {
  return {side(spec, 1), side(spec, 2), side(spec, 3), values};
}

Floats crop(Map& map, std::size_t top, std::size_t left, std::size_t height, std::size_t width) {
  Floats part;
  part.reserve(map.channels * height * width);
  for (std::size_t channel = 0; channel < map.channels; ++channel) {
    for (std::size_t row = top; row < top + height; ++row) {
      const float* first = &map.at(channel, row, left);
      part.insert(part.end(), first, first + width);
    }
  }
  return part;
}

// A canvas that parts are painted on from `start` to the right, or down; a part fades in over what is painted already.
struct Canvas {
  Map map;
  bool down;
  std::size_t painted = 0;

  void paint(Map& part, std::size_t start) {
    const auto shared = painted - start;
    for (std::size_t channel = 0; channel < part.channels; ++channel) {
      for (std::size_t row = 0; row < part.height; ++row) {
        for (std::size_t column = 0; column < part.width; ++column) {
          const std::size_t along = down ? row : column;
          float& under = down ? map.at(channel, start + row, column) : map.at(channel, row, start + column);
          const float over = part.at(channel, row, column);
          if (along >= shared) {
            under = over;
            continue;
          }
          const float weight = static_cast<float>(along) / static_cast<float>(shared);
          under = under * (1.0F - weight) + over * weight;
        }
      }
    }
    painted = start + (down ? part.height : part.width);
  }
};

// Runs a stage on tiles of a tensor whose sides are `from` times the latents', and joins outputs whose sides are `to`
// times theirs.
Floats in_tiles(const RunStage& run, const Settings& settings, const char* stage, const TensorSpec& in,
                const Floats& values, std::size_t from, const TensorSpec& out, std::size_t to) {
  const auto [height, width] = *settings.tile;
  const auto rows = tile_starts(side(settings.latents, 2), height);
  const auto columns = tile_starts(side(settings.latents, 3), width);
  Map source = whole_of(in, values);
  Canvas picture{blank(side(out, 1), side(out, 2), side(out, 3)), true};
  for (const std::size_t row : rows) {
    Canvas strip{blank(side(out, 1), height * to, side(out, 3)), false};
    for (const std::size_t column : columns) {
      const Floats tile = crop(source, row * from, column * from, height * from, width * from);
      Floats made = run(stage, {{in.name, tile}}).at(out.name);
      Map part{side(out, 1), height * to, width * to, std::move(made)};
      strip.paint(part, column * to);
    }
    picture.paint(strip.map, row * to);
  }
  return std::move(picture.map.values);
}

std::size_t factor(const Settings& settings) { return side(settings.image, 2) / side(settings.latents, 2); }

}  // namespace

std::vector<std::size_t> tile_starts(std::size_t whole, std::size_t tile) {
  const std::size_t stride = tile - tile / overlap, gaps = (whole - tile + stride - 1) / stride;
  std::vector<std::size_t> starts = {0};
  for (std::size_t number = 1; number <= gaps; ++number) starts.push_back(number * (whole - tile) / gaps);
  return starts;
}

Floats decode_picture(const RunStage& run, const Settings& settings, const Floats& latents) {
  if (!settings.tile) return run("decode_image", {{"latents", latents}}).at("image");
  return in_tiles(run, settings, "decode_image", settings.latents, latents, 1, settings.image, factor(settings));
}

Floats encode_picture(const RunStage& run, const Settings& settings, const Floats& image) {
  if (!settings.tile) return run("encode_image", {{"image", image}}).at("latents");
  return in_tiles(run, settings, "encode_image", settings.image, image, factor(settings), settings.latents, 1);
}

Floats first_tile(const Settings& settings, const Floats& latents) {
  if (!settings.tile) return latents;
  Map source = whole_of(settings.latents, latents);
  return crop(source, 0, 0, settings.tile->first, settings.tile->second);
}

}  // namespace runner
