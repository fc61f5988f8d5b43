// What the process holds in memory, as Linux counts it.
#pragma once

#include <cstdint>
#include <filesystem>

namespace runner {

// Kilobytes; 0 where the system does not say.
struct Memory {
  std::int64_t resident = 0;   // VmRSS: pages in memory now
  std::int64_t anonymous = 0;  // RssAnon: of them, those that no file backs
  std::int64_t mapped = 0;     // RssFile: of them, those mapped from files, which the system can drop and read again
  std::int64_t peak = 0;       // VmHWM: most that was resident since `restart_peak`, or since the start
};

Memory memory_now();

// Makes the peak start anew from what is resident; false where the system does not allow it.
bool restart_peak();

// Gives freed pages back to the system.
void give_back_freed();

// Lets go of the pages of a mapped file: they are read again when they are needed.  Once XNNPACK has packed the weights
// of a program, hardly any is.
void let_go_of(const std::filesystem::path& file);

}  // namespace runner
