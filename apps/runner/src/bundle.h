// An opened bundle: its folder, its manifest, and the files that are used, each held to its size and hash.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "manifest.h"

namespace runner {

struct Bundle {
  std::filesystem::path folder;
  Manifest manifest;

  // The program of every stage for this runtime; throws Error when the bundle has none for it.
  std::map<std::string, Artifact> artifacts(const std::string& runtime) const;

  // The path of a file of the bundle once it has been held to the manifest; throws Error when it is not listed,
  // missing, changed, or reached through a link.
  std::filesystem::path verified(const std::string& path) const;
};

// Reads the manifest of a folder; throws Error when there is none or it is refused.
Bundle open_bundle(const std::filesystem::path& folder);

}  // namespace runner
