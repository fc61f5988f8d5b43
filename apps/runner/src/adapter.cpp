#include "adapter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "error.h"
#include "files.h"
#include "numbers.h"
#include "quote.h"

namespace runner {
namespace {

constexpr const char* folder = "adapters/";
constexpr const char* suffix = ".safetensors";
constexpr std::size_t longest_name = 40, longest_header = 1 << 16, length_bytes = 8;
constexpr const char* remedy = "make it for this bundle with `mobile-diffusion export adapter`";

bool is_name(const std::string& name) {
  const char* letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
  return !name.empty() && name.size() <= longest_name && name.find_first_not_of(letters) == std::string::npos;
}

std::size_t count_of(const std::vector<std::int64_t>& shape) {
  std::size_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
  return count;
}

std::string words_of(const std::vector<std::int64_t>& shape) {
  Texts words;
  for (const std::int64_t size : shape) words.push_back(std::to_string(size));
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " x ") + word;
  return text;
}

std::vector<std::int64_t> wholes(const Fields& fields, const char* name) {
  std::vector<std::int64_t> found;
  for (const Json& each : fields.list(name)) {
    if (!each.is_number_integer()) fields.refuse(name, "whole numbers");
    found.push_back(each.get<std::int64_t>());
  }
  return found;
}

// The length of the header, little-endian; refuses one that the file does not hold.
std::size_t header_length(std::string_view bytes, const std::string& where) {
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < length_bytes && i < bytes.size(); ++i) {
    length |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  const bool whole = bytes.size() >= length_bytes && length <= std::min(longest_header, bytes.size() - length_bytes);
  require(whole, where + ": expected the file of an adapter, got something else; " + remedy);
  return static_cast<std::size_t>(length);
}

}  // namespace

AdapterRoom read_adapter_index(std::string_view text, const std::vector<std::int64_t>& shape,
                               const std::string& where) {
  const Json index = parse_json(text, where);
  const Fields fields(index, where, {"schema_version", "fingerprint", "names", "rank", "layers"});
  const Texts names = fields.texts("names");
  const bool named = std::all_of(names.begin(), names.end(), is_name) &&
                     std::set<std::string>(names.begin(), names.end()).size() == names.size();
  if (!named) fields.refuse("names", "different names of letters, digits, - and _");
  std::int64_t columns = 0;
  for (const Json& layer : fields.list("layers")) {
    const Fields found(layer, where + ": layers", {"name", "inputs", "outputs"});
    for (const char* name : {"inputs", "outputs"}) {
      const std::int64_t width = found.whole(name);
      if (width < 1 || width > INT32_MAX) found.refuse(name, "a width");
      columns += width;
    }
  }
  const std::vector<std::int64_t> found = {static_cast<std::int64_t>(names.size()), fields.whole("rank"), columns};
  require(found == shape, where + ": expected adapters of " + words_of(shape) + ", got " + words_of(found) +
                              "; export the bundle again");
  return {names, fields.text("fingerprint"), {shape.begin() + 1, shape.end()}};
}

Floats read_factors(std::string_view bytes, const AdapterRoom& room, const std::string& where) {
  const std::size_t length = header_length(bytes, where), count = count_of(room.shape);
  const Json header = parse_json(bytes.substr(length_bytes, length), where);
  const Fields fields(header, where, {"__metadata__", "factors"});
  const Fields metadata(fields.object("__metadata__"), where, {"fingerprint"});
  const Fields tensor(fields.object("factors"), where, {"dtype", "shape", "data_offsets"});
  const std::vector<std::int64_t> shape = wholes(tensor, "shape"), place = wholes(tensor, "data_offsets");
  const bool whole = place == std::vector<std::int64_t>{0, static_cast<std::int64_t>(count * sizeof(float))} &&
                     bytes.size() == length_bytes + length + count * sizeof(float);
  const bool fits = metadata.text("fingerprint") == room.fingerprint && tensor.text("dtype") == "F32" && shape == room.shape;
  require(fits && whole, where + ": expected an adapter of this bundle's layers, F32 " + words_of(room.shape) + " of " +
                             room.fingerprint.substr(0, 12) + "..., got " + quote(tensor.text("dtype")) + " " +
                             words_of(shape) + " of " + quote(metadata.text("fingerprint").substr(0, 12)) + "...; " + remedy);
  Floats factors(count);
  std::memcpy(factors.data(), bytes.data() + length_bytes + length, count * sizeof(float));
  const bool finite = std::all_of(factors.begin(), factors.end(), [](float each) { return std::isfinite(each); });
  require(finite, where + ": expected finite numbers, got NaN or infinity; " + remedy);
  return factors;
}

std::vector<Adapter> read_adapters(const Bundle& bundle, const Settings& settings,
                                   const std::vector<std::pair<std::string, double>>& scales,
                                   const std::vector<std::filesystem::path>& files) {
  const bool asked = !scales.empty() || !files.empty();
  require(!settings.adapters.empty() || !asked,
          "adapter: expected none, as this model has none, got " +
              quote(scales.empty() ? files.empty() ? "" : files.front().string() : scales.front().first));
  if (!asked) return {};
  const std::string path = std::string(folder) + "index.json";
  const AdapterRoom room = read_adapter_index(read_file(bundle.verified(path)), settings.adapters, path);
  Texts names = room.names;
  for (const auto& file : files) {
    const std::string name = file.stem().string();
    require(is_name(name), "--adapter-file: expected a name of letters, digits, - and _, got " + quote(name) + "; rename it");
    require(std::find(names.begin(), names.end(), name) == names.end(),
            "--adapter-file: expected each name once, got " + quote(name) + " twice; rename the file");
    names.push_back(name);
  }
  std::vector<Adapter> found;
  for (const auto& [name, scale] : scales) {
    const auto place = std::find(names.begin(), names.end(), name);
    require(place != names.end(), "adapter: expected one of " + joined(names) + ", got " + quote(name));
    if (scale == 0) continue;
    const auto number = static_cast<std::size_t>(place - names.begin());
    const bool own = number < room.names.size();
    const auto file = own ? bundle.verified(folder + name + suffix) : files[number - room.names.size()];
    found.push_back({name, read_factors(read_file(file), room, file.string()), scale});
  }
  adapter_inputs(settings, found);
  return found;
}

Arrays adapter_inputs(const Settings& settings, const std::vector<Adapter>& adapters) {
  if (settings.adapters.empty()) return {};
  const auto slots = static_cast<std::size_t>(settings.adapters[0]);
  require(adapters.size() <= slots, "adapter: expected up to " + std::to_string(slots) +
                                        " at once, for which there is room, got " + std::to_string(adapters.size()));
  Floats factors(count_of(settings.adapters), 0.0F), scales(slots, 0.0F);
  for (std::size_t slot = 0; slot < adapters.size(); ++slot) {
    const Adapter& adapter = adapters[slot];
    const std::size_t size = factors.size() / slots;
    require(adapter.factors.size() == size, "adapter " + adapter.name + ": expected " + std::to_string(size) +
                                                " numbers, got " + std::to_string(adapter.factors.size()));
    std::copy(adapter.factors.begin(), adapter.factors.end(), factors.begin() + static_cast<std::ptrdiff_t>(slot * size));
    scales[slot] = static_cast<float>(adapter.scale);
  }
  return {{"adapters", factors}, {"adapter_scales", scales}};
}

}  // namespace runner
