// A bundle's description of itself: manifest.json, read as strictly as export/bundle/manifest.py reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "schedule.h"

namespace runner {

inline constexpr int schema_version = 7;

struct TensorSpec {
  std::string name;
  std::string dtype;  // "float32" or "int32"
  std::vector<std::int64_t> shape;

  std::size_t count() const;
};

// Inputs and outputs of a stage, in order.
struct StageSpec {
  std::string name;
  std::vector<TensorSpec> inputs, outputs;
};

struct Artifact {
  std::string stage, path, method;
};

struct Runtime {
  std::string name;
  bool primary = false;
  bool verified = false;  // whether its programs were compared with PyTorch before the bundle appeared
  std::string precision;  // of the arithmetic inside
  std::vector<Artifact> artifacts;
};

inline constexpr const char* tokenizer_pair = "clip-bpe-pair";  // SDXL's two tokenizers

struct TokenizerSpec {
  std::string kind;
  std::int64_t max_tokens = 0;
  std::vector<std::string> files;
};

// Worst value of one check of one runtime at export, and its limit.
struct ParityLimit {
  std::string runtime, check, metric;
  double limit = 0;
};

struct FileSpec {
  std::int64_t size = 0;
  std::string sha256;
};

struct Manifest {
  std::string model;
  std::vector<std::int64_t> text_widths;  // of the context per text encoder, in the order in which they are joined
  std::vector<StageSpec> stages;
  std::vector<Runtime> runtimes;
  Schedule schedule;
  TokenizerSpec tokenizer;
  std::string golden;
  std::vector<ParityLimit> parity;
  std::map<std::string, FileSpec> files;

  const StageSpec* stage(std::string_view name) const;  // or null
};

// Reads the text of a manifest; throws Error in one line: not a manifest, another schema version, a malformed field, a
// path that leaves the bundle or is not listed, a stage without a program.
Manifest read_manifest(std::string_view text, const std::string& where);

}  // namespace runner
