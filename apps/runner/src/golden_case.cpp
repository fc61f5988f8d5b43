#include "golden_case.h"

#include <bit>
#include <cstring>
#include <numeric>

#include "error.h"
#include "files.h"
#include "json.h"
#include "numbers.h"

namespace runner {
namespace {

static_assert(std::endian::native == std::endian::little, "golden files are little-endian");

template <typename Value>
std::vector<Value> values_of(const std::string& bytes) {
  std::vector<Value> values(bytes.size() / sizeof(Value));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(Value));
  return values;
}

void read_tensor(const Bundle& bundle, const std::string& name, const Json& entry, GoldenCase& into) {
  const auto shape = entry.at("shape").get<std::vector<std::size_t>>();
  const std::size_t count = std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
  const std::string path = entry.at("path"), dtype = entry.at("dtype");
  const std::string bytes = read_file(bundle.verified(path));
  const bool good = (dtype == "float32" || dtype == "int32") && bytes.size() == 4 * count && count > 0;
  require(good, path + ": expected " + std::to_string(4 * count) + " bytes of float32 or int32, got " +
                    std::to_string(bytes.size()) + " of " + dtype + "; export the bundle again");
  if (dtype == "float32") into.floats[name] = values_of<float>(bytes);
  if (dtype == "int32") into.integers[name] = values_of<std::int32_t>(bytes);
  if (name == "states") into.state_count = shape.at(0);
}

GoldenCase read_case(const Bundle& bundle, const Json& entry) {
  GoldenCase found;
  found.prompt = entry.at("prompt");
  const auto seed = parse_number<std::uint64_t>(entry.at("seed").get_ref<const std::string&>());
  require(seed.has_value(), bundle.manifest.golden + ": expected a seed, got another text; export the bundle again");
  found.seed = *seed;
  found.guidance = entry.at("guidance");
  found.first_step = entry.at("first_step");
  for (const auto& tensor : entry.at("tensors").items()) read_tensor(bundle, tensor.key(), tensor.value(), found);
  for (const char* name : {"context", "states", "image"}) {
    require(found.has(name), bundle.manifest.golden + ": expected the tensor " + name + ", got none; export again");
  }
  return found;
}

}  // namespace

Floats GoldenCase::state(std::size_t number) const {
  const Floats& all = floats.at("states");
  const auto size = static_cast<std::ptrdiff_t>(all.size() / state_count);
  const auto start = all.begin() + static_cast<std::ptrdiff_t>(number) * size;
  return {start, start + size};
}

std::vector<GoldenCase> read_golden(const Bundle& bundle) {
  const std::string& path = bundle.manifest.golden;
  const Json index = parse_json(read_file(bundle.verified(path)), path);
  std::vector<GoldenCase> cases;
  try {
    for (const Json& entry : index.at("cases")) cases.push_back(read_case(bundle, entry));
  } catch (const Json::exception&) {
    throw Error(path + ": expected golden vectors, got another object; export the bundle again");
  }
  require(!cases.empty(), path + ": expected a case at least, got none; export the bundle again");
  return cases;
}

}  // namespace runner
