#include "packed.h"

#include <algorithm>
#include <fstream>
#include <system_error>
#include <vector>

#include "sha256.h"

namespace runner {
namespace {

namespace fs = std::filesystem;

constexpr const char* suffix = ".packed";
constexpr std::size_t digest_length = 16, processor_length = 8;
constexpr std::uintmax_t megabyte = 1'000'000;

// What decides how weights are packed: the processor's name and its instructions.
std::string processor_key() {
  std::ifstream file("/proc/cpuinfo");
  Sha256 hash;
  for (std::string line; std::getline(file, line) && !line.empty();) {
    for (const char* name : {"model name", "flags", "Features", "CPU implementer", "CPU part"}) {
      if (line.starts_with(name)) hash.update(line.data(), line.size());
    }
  }
  return hash.finish().substr(0, processor_length);
}

// What ends the names of this version's files on this processor.
std::string own_ending() {
  static const std::string ending = std::string("-") + EXECUTORCH_VERSION + "-" + processor_key() + suffix;
  return ending;
}

// Whether a name is one that a version of this program gives to a stage's file: the stage, a digest, and more.
bool is_of(const std::string& name, const std::string& stage) {
  const std::string start = stage + "-";
  if (!name.starts_with(start) || !name.ends_with(suffix)) return false;
  const std::size_t end = name.find_first_not_of("0123456789abcdef", start.size());
  return end == start.size() + digest_length && (name[end] == '-' || name[end] == '.');
}

void remove_older(const fs::path& folder, const std::string& stage, const fs::path& own) {
  std::vector<std::pair<fs::file_time_type, fs::path>> others;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!is_of(name, stage) || entry.path() == own) continue;
    if (name.ends_with(own_ending())) {
      others.emplace_back(entry.last_write_time(ignored), entry.path());
    } else {
      fs::remove(entry.path(), ignored);
    }
  }
  std::sort(others.rbegin(), others.rend());
  for (std::size_t i = packed_per_stage - 1; i < others.size(); ++i) fs::remove(others[i].second, ignored);
}

}  // namespace

fs::path packed_file(const fs::path& folder, const std::string& stage, const std::string& digest) {
  const fs::path own = folder / (stage + "-" + digest.substr(0, digest_length) + own_ending());
  remove_older(folder, stage, own);
  return own;
}

std::optional<std::string> packed_problem(const fs::path& file, const fs::path& program) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(program, error), made = fs::file_size(file, error);
  if (!error && made >= size / 2) return std::nullopt;
  const std::uintmax_t needed = size + size / 4, free = fs::space(file.parent_path(), error).available;
  if (error || free >= needed) return std::nullopt;
  return "--packed: expected " + std::to_string(needed / megabyte + 1) + " MB of free disk for " +
         file.filename().string() + ", got " + std::to_string(free / megabyte) + " MB; its weights stay in memory";
}

}  // namespace runner
