// An opened bundle: its folder, its manifest, and the files that are used, each checked against its size and hash.
#pragma once

#include <filesystem>
#include <string>

#include "manifest.h"

namespace runner {

struct Bundle {
  std::filesystem::path folder;
  Manifest manifest;

  // The runtime of this name; throws Error when the bundle has no programs for it.
  const Runtime& runtime(const std::string& name) const;

  // The path of a file of the bundle once it has been checked against the manifest; throws Error when it is not listed,
  // missing, changed, or reached through a link.
  std::filesystem::path verified(const std::string& path) const;
};

// Reads the manifest of a folder; throws Error when there is none or it is refused.
Bundle open_bundle(const std::filesystem::path& folder);

}  // namespace runner
