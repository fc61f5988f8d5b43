// Files read whole, and written so that they appear at once or not at all.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace runner {

// The bytes of a file; throws Error when it cannot be read.
std::string read_file(const std::filesystem::path& path);

// Writes beside `path`, then renames; throws Error when it cannot, and leaves nothing behind.
void write_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace runner
