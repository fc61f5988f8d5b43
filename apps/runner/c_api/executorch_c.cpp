#include "executorch_c.h"

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <exception>
#include <mutex>
#include <string>
#include <vector>

#include "../src/error.h"
#include "../src/program.h"

namespace et = executorch::runtime;
using executorch::aten::ScalarType;
using executorch::extension::Module;

namespace {

// A share in the process's one thread pool.  XNNPACK keeps the pool that a program was loaded with, so the number of
// threads changes only while no program is open.
class PoolShare {
 public:
  explicit PoolShare(int32_t threads) {
    const std::scoped_lock lock(mutex);
    const std::string now = std::to_string(pool_threads);
    runner::require(shares == 0 || threads == pool_threads, "threads: expected " + now + ", as open programs have, got " +
                                                                std::to_string(threads) + "; close them first");
    runner::start_runtime(threads);
    pool_threads = threads;
    ++shares;
  }
  ~PoolShare() {
    const std::scoped_lock lock(mutex);
    --shares;
  }
  PoolShare(const PoolShare&) = delete;
  PoolShare& operator=(const PoolShare&) = delete;

 private:
  static inline std::mutex mutex;
  static inline int shares = 0;
  static inline int32_t pool_threads = 0;
};

}  // namespace

struct ETProgram {
  PoolShare share;  // given back after the module
  Module module;
  std::vector<et::EValue> outputs;
  std::vector<std::vector<int64_t>> shapes;

  ETProgram(const std::string& path, int32_t threads) : share(threads), module(path, Module::LoadMode::Mmap) {}
};

namespace {

thread_local std::string problem;

void check(et::Error error, const std::string& what) {
  runner::require(error == et::Error::Ok, what + ": " + et::to_string(error));
}

// The value of `action`, or `failed` with the reason kept: no exception may cross the interface.
template <typename Value, typename Action>
Value guarded(Value failed, Action action) {
  try {
    return action();
  } catch (const std::exception& error) {
    problem = error.what();
    return failed;
  }
}

et::EValue to_value(const ETTensor& tensor, std::vector<executorch::extension::TensorPtr>& kept) {
  std::vector<executorch::aten::SizesType> sizes(tensor.shape, tensor.shape + tensor.rank);
  const ScalarType type = tensor.type == ET_FLOAT32 ? ScalarType::Float : ScalarType::Int;
  kept.push_back(executorch::extension::from_blob(const_cast<void*>(tensor.data), std::move(sizes), type));
  return et::EValue(kept.back());
}

void keep_outputs(ETProgram& program, std::vector<et::EValue> outputs) {
  program.shapes.clear();
  for (const et::EValue& value : outputs) {
    const bool known = value.isTensor() && (value.toTensor().scalar_type() == ScalarType::Float ||
                                            value.toTensor().scalar_type() == ScalarType::Int);
    runner::require(known, "expected outputs of float32 or int32, got another kind");
    const auto sizes = value.toTensor().sizes();
    program.shapes.emplace_back(sizes.begin(), sizes.end());
  }
  program.outputs = std::move(outputs);
}

}  // namespace

ETProgram* et_open(const char* path, int32_t threads) {
  return guarded<ETProgram*>(nullptr, [&] {
    auto program = std::make_unique<ETProgram>(path, threads);
    check(program->module.load(et::Program::Verification::InternalConsistency), std::string(path) + ": not a program");
    return program.release();
  });
}

int32_t et_load_method(ETProgram* program, const char* method) {
  return guarded<int32_t>(-1, [&] {
    check(program->module.load_method(method), std::string(method) + ": not loaded");
    return 0;
  });
}

int32_t et_execute(ETProgram* program, const char* method, const ETTensor* inputs, int32_t count) {
  return guarded<int32_t>(-1, [&] {
    std::vector<executorch::extension::TensorPtr> kept;
    std::vector<et::EValue> values;
    for (int32_t i = 0; i < count; ++i) values.push_back(to_value(inputs[i], kept));
    auto results = program->module.execute(method, values);
    check(results.error(), std::string(method) + ": not run");
    keep_outputs(*program, std::move(*results));
    return static_cast<int32_t>(program->outputs.size());
  });
}

ETTensor et_output(const ETProgram* program, int32_t index) {
  const auto& tensor = program->outputs[index].toTensor();
  const ETType type = tensor.scalar_type() == ScalarType::Float ? ET_FLOAT32 : ET_INT32;
  const auto& shape = program->shapes[index];
  return {type, static_cast<int32_t>(shape.size()), shape.data(), tensor.const_data_ptr()};
}

void et_close(ETProgram* program) { delete program; }

const char* et_error(void) { return problem.c_str(); }
