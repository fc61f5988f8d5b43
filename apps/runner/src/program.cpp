#include "program.h"

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/backend/backend_options_map.h>
#include <executorch/runtime/backend/options.h>
#include <executorch/runtime/platform/platform.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "error.h"

// The library is part of the wheel, the header that declares this is not.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t new_thread_count);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace runner {
namespace {

namespace et = executorch::runtime;
using executorch::aten::ScalarType;
using executorch::extension::Module;

// The first error that ExecuTorch has logged since the text was cleared: what it says of a failure.
std::string first_problem;

void keep_problem(et_timestamp_t, et_pal_log_level_t level, const char*, const char*, std::size_t, const char* message,
                  std::size_t length) {
  const bool serious = level == kError || level == kFatal;
  if (serious && first_problem.empty()) first_problem.assign(message, length);
}

// Hides the notes that native code writes to standard error, such as files that only phones have.
class SilentErrors {
 public:
  SilentErrors() : saved_(::dup(STDERR_FILENO)) {
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, STDERR_FILENO);
    ::close(null);
  }
  ~SilentErrors() {
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
  }
  SilentErrors(const SilentErrors&) = delete;
  SilentErrors& operator=(const SilentErrors&) = delete;

 private:
  int saved_;
};

std::string reason(et::Error error) {
  std::string text = first_problem.empty() ? et::to_string(error) : first_problem;
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// What was expected of a program that cannot be loaded, and how to fix it.
std::string refusal(et::Error error, const std::filesystem::path& file, const std::string& stage) {
  const std::string got = reason(error);
  const bool no_memory = error == et::Error::MemoryAllocationFailed || got.find("Failed to map") != std::string::npos ||
                         got.find("out_of_memory") != std::string::npos;
  if (no_memory) {
    return file.string() + ": expected enough memory for " + stage + ", got: " + got +
           "; free some, or try --sequential";
  }
  return file.string() + ": expected an ExecuTorch program of " + stage + ": " + got + "; export it again";
}

// What XNNPACK is told when a program is loaded: to pack its weights into a file and map that.
class LoadOptions {
 public:
  explicit LoadOptions(const std::optional<std::filesystem::path>& packed) {
    if (!packed) return;
    const std::string path = packed->string();
    const bool short_enough = path.size() < et::kMaxOptionValueLength;
    require(short_enough, "--packed: expected a path of fewer than " + std::to_string(et::kMaxOptionValueLength) +
                              " bytes, got " + path);
    std::array<char, et::kMaxOptionValueLength> text{};
    std::copy(path.begin(), path.end(), text.begin());
    set(options_[0], "weight_cache_enabled", true);
    set(options_[1], "packed_cache_path", text);
    const et::Error error = map_.set_options("XnnpackBackend", {options_.data(), options_.size()});
    require(error == et::Error::Ok, "expected XNNPACK with packed weights in files, got " + reason(error));
  }

  const et::LoadBackendOptionsMap& map() const { return map_; }

 private:
  static void set(et::BackendOption& option, std::string_view key, et::OptionValue value) {
    std::copy(key.begin(), key.end(), option.key);
    option.value = value;
  }

  std::array<et::BackendOption, 2> options_{};
  et::LoadBackendOptionsMap map_;
};

ScalarType type_of(const TensorSpec& spec) { return spec.dtype == "float32" ? ScalarType::Float : ScalarType::Int; }

bool fits(const et::Result<et::TensorInfo>& found, const TensorSpec& spec) {
  if (!found.ok() || found->scalar_type() != type_of(spec)) return false;
  const auto sizes = found->sizes();
  return std::equal(sizes.begin(), sizes.end(), spec.shape.begin(), spec.shape.end());
}

// Whether the method has exactly the stage's tensors, in order.
bool fits(const et::MethodMeta& meta, const StageSpec& stage) {
  if (meta.num_inputs() != stage.inputs.size() || meta.num_outputs() != stage.outputs.size()) return false;
  for (std::size_t i = 0; i < stage.inputs.size(); ++i) {
    if (!fits(meta.input_tensor_meta(i), stage.inputs[i])) return false;
  }
  for (std::size_t i = 0; i < stage.outputs.size(); ++i) {
    if (!fits(meta.output_tensor_meta(i), stage.outputs[i])) return false;
  }
  return true;
}

std::vector<executorch::aten::SizesType> sizes_of(const TensorSpec& spec) {
  return {spec.shape.begin(), spec.shape.end()};
}

}  // namespace

void start_runtime(std::int64_t threads) {
  require(threads >= 1 && threads <= max_threads,
          "--threads: expected 1 to " + std::to_string(max_threads) + ", got " + std::to_string(threads));
  et::register_pal(et::PalImpl::create(&keep_problem, __FILE__));
  const SilentErrors silent;
  auto* pool = executorch::extension::threadpool::get_threadpool();
  const auto count = static_cast<std::uint32_t>(threads);
  const bool ready = pool != nullptr && (pool->get_thread_count() == count || pool->_unsafe_reset_threadpool(count));
  require(ready, "expected a pool of " + std::to_string(threads) + " threads, got none; give --threads fewer");
}

struct Program::Loaded {
  StageSpec stage;
  std::string method;
  Module module;

  Loaded(const std::filesystem::path& file, const std::string& name, const StageSpec& spec)
      : stage(spec), method(name), module(file.string(), Module::LoadMode::Mmap) {}
};

Program::Program(const std::filesystem::path& file, const std::string& method, const StageSpec& stage,
                 const std::optional<std::filesystem::path>& packed)
    : loaded_(std::make_unique<Loaded>(file, method, stage)) {
  const auto check = [&](et::Error error) {
    if (error != et::Error::Ok) throw Error(refusal(error, file, stage.name));
  };
  const SilentErrors silent;
  first_problem.clear();
  check(loaded_->module.load(LoadOptions(packed).map(), et::Program::Verification::InternalConsistency));
  const auto meta = loaded_->module.method_meta(method);
  check(meta.error());
  require(fits(*meta, stage), file.string() + ": expected an ExecuTorch program of " + stage.name +
                                  ": its inputs or outputs are not the manifest's; export it again");
  check(loaded_->module.load_method(method));
}

Program::~Program() = default;

Outputs Program::run(const Arrays& arrays) {
  const StageSpec& stage = loaded_->stage;
  std::vector<executorch::extension::TensorPtr> tensors;
  std::vector<et::EValue> inputs;
  require(arrays.size() == stage.inputs.size(), stage.name + ": expected " + std::to_string(stage.inputs.size()) +
                                                    " inputs, got " + std::to_string(arrays.size()));
  for (const TensorSpec& spec : stage.inputs) {
    const auto given = arrays.find(spec.name);
    require(given != arrays.end(), stage.name + ": expected the input " + spec.name + ", got none");
    const auto [data, count] =
        std::visit([](const auto& values) { return std::pair<const void*, std::size_t>(values.data(), values.size()); },
                   given->second);
    const bool same_type = std::holds_alternative<Floats>(given->second) == (spec.dtype == "float32");
    require(same_type && count == spec.count(), stage.name + ": expected " + std::to_string(spec.count()) + " of " +
                                                    spec.dtype + " for " + spec.name + ", got " +
                                                    std::to_string(count));
    tensors.push_back(executorch::extension::from_blob(const_cast<void*>(data), sizes_of(spec), type_of(spec)));
    inputs.emplace_back(tensors.back());
  }
  first_problem.clear();
  const auto results = loaded_->module.execute(loaded_->method, inputs);
  require(results.ok(), stage.name + ": expected outputs, got an error: " + reason(results.error()));
  Outputs outputs;
  for (std::size_t i = 0; i < stage.outputs.size(); ++i) {
    const auto& tensor = results->at(i).toTensor();
    const float* values = tensor.const_data_ptr<float>();
    outputs[stage.outputs[i].name] = Floats(values, values + tensor.numel());
  }
  return outputs;
}

}  // namespace runner
