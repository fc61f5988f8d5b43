// One stage's .pte on ExecuTorch: loaded with its weights mapped from the file, checked against the manifest, run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "manifest.h"

namespace runner {

using Floats = std::vector<float>;
using Integers = std::vector<std::int32_t>;
using Arrays = std::map<std::string, std::variant<Floats, Integers>>;
using Outputs = std::map<std::string, Floats>;
using RunStage = std::function<Outputs(const std::string& stage, const Arrays& arrays)>;

inline constexpr int max_threads = 256;

// Gives the process's thread pool so many threads, and keeps ExecuTorch's log out of standard error.
// Throws Error for a number outside 1..max_threads.
void start_runtime(std::int64_t threads);

class Program {
 public:
  // `packed` is where XNNPACK keeps packed weights: a file that it makes, or finds from another time, and maps; without
  // it they are memory of the process.  Throws Error when the file is not a program with this method and these inputs
  // and outputs, or its backend is not here.
  Program(const std::filesystem::path& file, const std::string& method, const StageSpec& stage,
          const std::optional<std::filesystem::path>& packed = std::nullopt);
  ~Program();

  // The outputs by name; throws Error unless `arrays` are exactly the stage's inputs.
  Outputs run(const Arrays& arrays);

 private:
  struct Loaded;
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace runner
