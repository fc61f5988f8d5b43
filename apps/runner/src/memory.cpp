#include "memory.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <cstdlib>
#include <fstream>
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

void give_back_freed() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

}  // namespace runner
