#include "memory.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <sys/mman.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace runner {

Memory memory_now() {
  Memory memory;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string name = line.substr(0, colon);
    const std::int64_t value = std::strtoll(line.c_str() + colon + 1, nullptr, 10);
    if (name == "VmRSS") memory.resident = value;
    if (name == "RssAnon") memory.anonymous = value;
    if (name == "RssFile") memory.mapped = value;
    if (name == "VmHWM") memory.peak = value;
  }
  return memory;
}

bool restart_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;  // proc(5): the peak resident size becomes the current one
  return file.good();
}

void let_go_of(const std::filesystem::path& file) {
  std::error_code problem;
  const std::string name = std::filesystem::canonical(file, problem).string();
  std::ifstream maps("/proc/self/maps");  // proc(5): start-end permissions offset device inode name
  for (std::string line; !problem && std::getline(maps, line);) {
    std::istringstream fields(line);
    std::uintptr_t start = 0, end = 0;
    char dash = 0;
    std::string permissions, offset, device, inode, place;
    fields >> std::hex >> start >> dash >> end >> permissions >> offset >> device >> inode >> std::ws;
    std::getline(fields, place);
    const bool read_only = permissions.starts_with("r-");
    if (read_only && place == name) ::madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED);
  }
}

void give_back_freed() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

}  // namespace runner
