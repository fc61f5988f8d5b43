// Where XNNPACK's packed weights are kept: files in a folder, named by runtime version and processor, and bounded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace runner {

inline constexpr std::size_t packed_per_stage = 2;  // files that stay of each stage: a model and the one before it

// The file in a folder for the packed weights of a stage's program, which has this digest.  What another version or
// processor left is removed, as XNNPACK would add to it, and so are all but the newest files of the stage.
std::filesystem::path packed_file(const std::filesystem::path& folder, const std::string& stage,
                                  const std::string& digest);

// What keeps weights out of a file that has yet to be made: one line when the disk has no room for them, else none.
// XNNPACK maps the file before it writes it, so that a full disk would end the process.
std::optional<std::string> packed_problem(const std::filesystem::path& file, const std::filesystem::path& program);

}  // namespace runner
