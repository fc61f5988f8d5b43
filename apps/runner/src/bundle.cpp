#include "bundle.h"

#include <algorithm>
#include <system_error>

#include "error.h"
#include "files.h"
#include "sha256.h"

namespace runner {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void damaged(const Bundle& bundle, const std::string& path, const std::string& expected,
                          const std::string& got) {
  throw Error(bundle.folder.string() + ": " + path + ": expected " + expected + ", got " + got +
              "; the bundle is damaged: export it again");
}

// Throws Error when a folder of the path, or the file itself, is a link.
void check_links(const Bundle& bundle, const std::string& path) {
  fs::path place = bundle.folder;
  for (const fs::path& part : fs::path(path)) {
    place /= part;
    std::error_code problem;
    if (fs::is_symlink(place, problem)) damaged(bundle, path, "a plain file", "a link");
  }
}

}  // namespace

const Runtime& Bundle::runtime(const std::string& name) const {
  std::string choices;
  for (const Runtime& runtime : manifest.runtimes) {
    if (runtime.name == name) return runtime;
    choices += (choices.empty() ? "" : ", ") + runtime.name;
  }
  throw Error(folder.string() + ": expected programs for " + name + ", got " + choices +
              "; export for android with --runtime " + name);
}

fs::path Bundle::verified(const std::string& path) const {
  const auto listed = manifest.files.find(path);
  if (listed == manifest.files.end()) damaged(*this, path, "a file that the manifest lists", "another");
  check_links(*this, path);
  const fs::path place = folder / path;
  std::error_code problem;
  const auto size = fs::is_regular_file(place, problem) ? fs::file_size(place, problem) : 0;
  if (problem || !fs::is_regular_file(place, problem)) damaged(*this, path, "a file", "none");
  const auto wanted = static_cast<std::uintmax_t>(listed->second.size);
  if (size != wanted) damaged(*this, path, std::to_string(wanted) + " bytes", std::to_string(size));
  const std::string digest = sha256_of_file(place), expected = listed->second.sha256;
  if (digest != expected)
    damaged(*this, path, "SHA-256 " + expected.substr(0, 12) + "...", digest.substr(0, 12) + "...");
  return place;
}

Bundle open_bundle(const fs::path& folder) {
  std::error_code problem;
  const std::string got = fs::exists(folder, problem) ? "a file" : "nothing of that name";
  require(fs::is_directory(folder, problem), folder.string() + ": expected a bundle folder, got " + got);
  const fs::path manifest = folder / "manifest.json";
  const bool present = fs::is_regular_file(manifest, problem);
  require(present, folder.string() + ": expected a bundle, got a folder without manifest.json");
  return {folder, read_manifest(read_file(manifest), manifest.string())};
}

}  // namespace runner
