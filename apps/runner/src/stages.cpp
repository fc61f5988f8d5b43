#include "stages.h"

#include <algorithm>
#include <chrono>
#include <iostream>

#include "error.h"
#include "interrupt.h"
#include "packed.h"

namespace runner {

Stages::Stages(const Bundle& bundle, const std::vector<std::string>& needed, bool sequential,
               const std::optional<std::filesystem::path>& packed)
    : sequential_(sequential) {
  for (const Artifact& artifact : bundle.runtime(runtime_name).artifacts) {
    const bool wanted = std::find(needed.begin(), needed.end(), artifact.stage) != needed.end();
    if (!wanted) continue;
    Source source = {bundle.verified(artifact.path), artifact.method, *bundle.manifest.stage(artifact.stage), {}};
    const std::string& digest = bundle.manifest.files.at(artifact.path).sha256;
    if (packed) source.packed = packed_file(*packed, artifact.stage, digest);
    sources_[artifact.stage] = std::move(source);
  }
  for (const std::string& stage : needed) {
    if (!sequential) load(stage);
  }
}

template <typename Action>
void Stages::record(const char* what, const std::string& stage, int step, Action action) {
  restart_peak();
  const auto start = std::chrono::steady_clock::now();
  action();
  const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
  events_.push_back({what, stage, step, taken.count(), memory_now()});
}

Program& Stages::load(const std::string& stage) {
  auto& place = programs_[stage];
  if (place != nullptr) return *place;
  Source& source = sources_.at(stage);
  check_interrupted();
  if (const auto problem = source.packed ? packed_problem(*source.packed, source.file) : std::nullopt) {
    std::cerr << *problem << "\n";
    source.packed.reset();
  }
  record("load", stage, -1, [&] {
    place = std::make_unique<Program>(source.file, source.method, source.spec, source.packed);
    let_go_of(source.file);
  });
  return *place;
}

void Stages::unload(std::string stage) {
  record("unload", stage, -1, [&] {
    programs_.erase(stage);
    give_back_freed();
  });
}

Outputs Stages::run(const std::string& stage, const Arrays& arrays) {
  if (sequential_ && programs_.count(stage) == 0 && !programs_.empty()) unload(programs_.begin()->first);
  Program& program = load(stage);
  const auto step = arrays.find("step");
  const int number = step == arrays.end() ? -1 : std::get<Integers>(step->second).at(0);
  Outputs outputs;
  record("run", stage, number, [&] { outputs = program.run(arrays); });
  check_interrupted();
  return outputs;
}

}  // namespace runner
