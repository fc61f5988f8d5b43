#include "manifest.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>

#include "error.h"
#include "json.h"
#include "quote.h"
#include "schedule.h"

namespace runner {
namespace {

const Texts stage_names = {"encode_text", "denoise", "decode_image"};
const Texts every_stage_name = {"encode_text", "denoise", "decode_image", "encode_image", "encode_hint"};
const Texts extra_stage_names[] = {{}, {"encode_image"}, {"encode_hint"}, {"encode_image", "encode_hint"}};
const Texts dtypes = {"float32", "int32"};
const Texts precisions = {"fp32", "fp16", "w8a16", "int8", "int8-dynamic", "int4-dynamic"};
constexpr const char* format = "mobile-diffusion-bundle";
constexpr const char* own_name = "manifest.json";

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Relative, with single slashes, and inside the bundle.
bool stays_inside(const std::string& path) {
  if (path.find_first_of(std::string("\\:\0", 3)) != std::string::npos) return false;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    const std::string part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == "..") return false;
    start = end + 1;
  }
  return true;
}

std::string inner_path(const Fields& fields, const char* name) {
  if (!stays_inside(fields.text(name))) fields.refuse(name, "a relative path that stays in the bundle");
  return fields.text(name);
}

TensorSpec read_tensor(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"name", "dtype", "shape"});
  TensorSpec spec{fields.text("name"), fields.word("dtype", dtypes), {}};
  for (const Json& size : fields.list("shape")) {
    const bool good = size.is_number_integer() && size.get<std::int64_t>() > 0 && size.get<std::int64_t>() < 1 << 24;
    if (!good) fields.refuse("shape", "positive sizes");
    spec.shape.push_back(size.get<std::int64_t>());
  }
  return spec;
}

StageSpec read_stage(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"name", "inputs", "outputs"});
  StageSpec stage{fields.word("name", every_stage_name), {}, {}};
  for (const Json& tensor : fields.list("inputs")) stage.inputs.push_back(read_tensor(tensor, where));
  for (const Json& tensor : fields.list("outputs")) stage.outputs.push_back(read_tensor(tensor, where));
  return stage;
}

void check_undelegated(const Fields& artifact, const std::string& where) {
  for (const Json& value : artifact.list("undelegated")) {
    const Fields operation(value, where + ".undelegated", {"name", "count"});
    if (operation.text("name").empty()) operation.refuse("name", "the name of an operation");
    if (operation.whole("count") <= 0) operation.refuse("count", "a count above zero");
  }
}

// What all programs of a runtime have in common.
struct Common {
  std::set<std::string> precisions, compressions;
};

Artifact read_artifact(const Json& value, const std::string& where, Common& common) {
  const Fields fields(value, where,
                      {"stage", "path", "method", "outputs", "precision", "compression", "delegates", "undelegated"});
  if (fields.texts("outputs").empty()) fields.refuse("outputs", "an output at least");
  if (fields.whole("delegates") < 0) fields.refuse("delegates", "a number of delegates");
  check_undelegated(fields, where);
  common.precisions.insert(fields.word("precision", precisions));
  common.compressions.insert(fields.text("compression"));
  return {fields.word("stage", every_stage_name), inner_path(fields, "path"), fields.text("method")};
}

void check_settings(const Fields& runtime, const std::string& where) {
  std::set<std::string> names;
  for (const Json& value : runtime.list("settings")) {
    const Fields setting(value, where + ".settings", {"name", "value"});
    setting.text("value");
    const bool fresh = !setting.text("name").empty() && names.insert(setting.text("name")).second;
    if (!fresh) setting.refuse("name", "every setting once, with a name");
  }
}

Runtime read_runtime(const Json& value, const std::string& where, const Texts& stages) {
  const Fields fields(value, where, {"name", "primary", "verified", "settings", "artifacts"});
  check_settings(fields, where);
  Runtime runtime{fields.text("name"), fields.flag("primary"), fields.flag("verified"), "", {}};
  Common common;
  Texts found;
  for (const Json& artifact : fields.list("artifacts")) {
    runtime.artifacts.push_back(read_artifact(artifact, where + ".artifacts", common));
    found.push_back(runtime.artifacts.back().stage);
  }
  if (found != stages) fields.refuse("artifacts", "one program for each stage of " + joined(stages));
  if (common.compressions.size() != 1) fields.refuse("artifacts", "programs of one compression");
  if (common.precisions.size() != 1) fields.refuse("artifacts", "programs of one precision");
  runtime.precision = *common.precisions.begin();
  return runtime;
}

TokenizerSpec read_tokenizer(const Json& value) {
  const Fields fields(value, "manifest.json: tokenizer", {"kind", "max_tokens", "files"});
  TokenizerSpec spec{fields.text("kind"), fields.whole("max_tokens"), fields.texts("files")};
  if (spec.files.empty()) fields.refuse("files", "a file");
  if (spec.kind == tokenizer_pair && spec.files.size() != 2) fields.refuse("files", "two tokenizer files of this kind");
  if (!std::all_of(spec.files.begin(), spec.files.end(), stays_inside)) fields.refuse("files", "paths in the bundle");
  return spec;
}

void read_file_entry(const Json& value, std::map<std::string, FileSpec>& files) {
  const Fields fields(value, "manifest.json: files", {"path", "size", "sha256"});
  const FileSpec spec{fields.whole("size"), fields.text("sha256")};
  if (spec.size < 0) fields.refuse("size", "zero or more bytes");
  if (!is_sha256(spec.sha256)) fields.refuse("sha256", "a SHA-256 in lower case hexadecimal");
  const bool fresh = files.emplace(inner_path(fields, "path"), spec).second;
  if (!fresh || fields.text("path") == own_name) fields.refuse("path", "every file once, without the manifest");
}

void check_model(const Fields& model) {
  for (const char* name : {"name", "licence"}) model.text(name);
  model.texts("changes");
  const Texts styles = model.texts("styles");
  const std::set<std::string> names(styles.begin(), styles.end());
  if (names.size() != styles.size() || names.count("") > 0) model.refuse("styles", "different names, none empty");
  if (model.whole("height") <= 0 || model.whole("width") <= 0) model.refuse("height", "a positive height and width");
  const std::string& source = model.text("source_sha256");
  if (!source.empty() && !is_sha256(source)) model.refuse("source_sha256", "a SHA-256");
}

std::vector<std::int64_t> widths_of(const Fields& model) {
  std::vector<std::int64_t> widths;
  for (const Json& each : model.list("text_widths")) {
    widths.push_back(each.is_number_integer() ? each.get<std::int64_t>() : 0);
  }
  const auto is_good = [](std::int64_t width) { return width > 0 && width < 1 << 24; };
  const bool good = !widths.empty() && std::all_of(widths.begin(), widths.end(), is_good);
  if (!good) model.refuse("text_widths", "text_widths with a positive width per text encoder");
  return widths;
}

ParityLimit read_parity(const Json& value) {
  const Fields fields(value, "manifest.json: parity", {"runtime", "check", "metric", "worst", "limit"});
  fields.number("worst");
  return {fields.text("runtime"), fields.text("check"), fields.text("metric"), fields.number("limit")};
}

// Every path that is mentioned is a listed file, or a folder of listed files.
void check_references(const Manifest& manifest) {
  std::set<std::string> known;
  for (const auto& [path, spec] : manifest.files) {
    for (std::filesystem::path each = path; !each.empty(); each = each.parent_path()) known.insert(each.string());
  }
  std::vector<std::string> mentioned = manifest.tokenizer.files;
  mentioned.push_back(manifest.golden);
  for (const Runtime& runtime : manifest.runtimes) {
    for (const Artifact& artifact : runtime.artifacts) mentioned.push_back(artifact.path);
  }
  for (const std::string& path : mentioned) {
    require(known.count(path) == 1, "manifest.json: expected only files that are listed under 'files', got " +
                                        quote(path) + "; export the bundle again");
  }
}

// Another version is refused before anything else is looked at: it may hold anything.
void check_version(const Json& value, const std::string& where) {
  require(value.is_object(), where + ": expected a JSON object, got another value; export the bundle again");
  const auto version = value.find("schema_version");
  if (version == value.end() || !version->is_number_integer() || *version == schema_version) return;
  throw Error(where + ": expected a bundle of schema version " + std::to_string(schema_version) + ", got " +
              version->dump() + "; " + (*version > schema_version ? "update this program" : "export the bundle again"));
}

void read_runtimes(const Fields& fields, Manifest& manifest) {
  Texts stages;
  for (const StageSpec& stage : manifest.stages) stages.push_back(stage.name);
  const bool known = std::any_of(std::begin(extra_stage_names), std::end(extra_stage_names), [&](const Texts& extra) {
    Texts wanted = stage_names;
    wanted.insert(wanted.end(), extra.begin(), extra.end());
    return stages == wanted;
  });
  if (!known)
    fields.refuse("stages", "the stages " + joined(stage_names));
  std::set<std::string> names;
  int primary = 0;
  for (const Json& value : fields.list("runtimes")) {
    manifest.runtimes.push_back(read_runtime(value, "manifest.json: runtimes", stages));
    names.insert(manifest.runtimes.back().name);
    primary += manifest.runtimes.back().primary ? 1 : 0;
  }
  const bool good = primary == 1 && names.size() == manifest.runtimes.size();
  if (!good) fields.refuse("runtimes", "different runtimes, one of them primary");
}

}  // namespace

std::size_t TensorSpec::count() const {
  return std::accumulate(shape.begin(), shape.end(), std::size_t{1}, [](std::size_t product, std::int64_t size) {
    return product * static_cast<std::size_t>(size);
  });
}

const StageSpec* Manifest::stage(std::string_view name) const {
  const auto found =
      std::find_if(stages.begin(), stages.end(), [&](const StageSpec& each) { return each.name == name; });
  return found == stages.end() ? nullptr : &*found;
}

Manifest read_manifest(std::string_view text, const std::string& where) {
  const Json value = parse_json(text, where);
  check_version(value, where);
  const Fields fields(value, where,
                      {"format", "schema_version", "target", "model", "stages", "runtimes", "schedule", "tokenizer",
                       "golden", "parity", "tools", "files"});
  if (fields.text("format") != format) fields.refuse("format", format);
  if (fields.whole("schema_version") != schema_version) fields.refuse("schema_version", "a version");
  fields.text("target");
  const Fields model(fields.object("model"), "manifest.json: model",
                     {"name", "licence", "height", "width", "styles", "changes", "text_widths", "source_sha256"});
  check_model(model);
  Manifest manifest;
  manifest.model = model.text("name");
  manifest.text_widths = widths_of(model);
  for (const Json& stage : fields.list("stages")) manifest.stages.push_back(read_stage(stage, "manifest.json: stages"));
  read_runtimes(fields, manifest);
  manifest.schedule = read_schedule(fields.object("schedule"));
  manifest.tokenizer = read_tokenizer(fields.object("tokenizer"));
  manifest.golden = inner_path(fields, "golden");
  for (const Json& entry : fields.list("parity")) manifest.parity.push_back(read_parity(entry));
  for (const Json& entry : fields.list("tools")) {
    const Fields tool(entry, "manifest.json: tools", {"name", "version"});
    tool.text("name"), tool.text("version");
  }
  for (const Json& entry : fields.list("files")) read_file_entry(entry, manifest.files);
  check_references(manifest);
  return manifest;
}

}  // namespace runner
