// Pictures and masks to start from, read from PNG files by stb_image.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "picture.h"

namespace runner {

// The pixels of a PNG file with 8 bits a channel; transparent ones are put on white.  Throws Error in one line for
// another kind of file, a damaged one, and one of more than 67 megapixels.
Picture read_picture(const std::filesystem::path& path);

// A mask (height, width): 1 where the picture is lighter than middle grey.  Throws Error when it has another size, or is
// not readable.
std::vector<std::uint8_t> read_mask(const std::filesystem::path& path, std::int64_t height, std::int64_t width);

}  // namespace runner
