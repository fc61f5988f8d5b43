// The programs of a bundle: all held at once, or one at a time as a phone with little memory does; each call is
// recorded.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bundle.h"
#include "memory.h"
#include "program.h"

namespace runner {

inline constexpr const char* runtime_name = "xnnpack";

// One thing that was done, how long it took, and the memory after it.
struct Event {
  std::string what;  // "load", "run" or "unload"
  std::string stage;
  int step = -1;  // of `denoise`
  double milliseconds = 0;
  Memory memory;
};

class Stages {
 public:
  // Verifies the programs of the stages that are needed, and loads them unless `sequential`; `packed` is a folder for
  // their packed weights.
  Stages(const Bundle& bundle, const std::vector<std::string>& needed, bool sequential,
         const std::optional<std::filesystem::path>& packed = std::nullopt);

  // The outputs of one stage; throws Error as Program does, and Interrupted when a signal has come meanwhile.
  Outputs run(const std::string& stage, const Arrays& arrays);

  const std::vector<Event>& events() const { return events_; }

 private:
  Program& load(const std::string& stage);
  void unload(std::string stage);  // by value: the name is the key that is erased
  template <typename Action>
  void record(const char* what, const std::string& stage, int step, Action action);

  struct Source {
    std::filesystem::path file;
    std::string method;
    StageSpec spec;
    std::optional<std::filesystem::path> packed;
  };

  bool sequential_;
  std::map<std::string, Source> sources_;
  std::map<std::string, std::unique_ptr<Program>> programs_;
  std::vector<Event> events_;
};

}  // namespace runner
