#include "files.h"

#include <unistd.h>

#include <fstream>
#include <iterator>
#include <system_error>

#include "error.h"

namespace runner {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::error_code problem;
  require(fs::is_regular_file(path, problem), path.string() + ": expected a file that can be read, got none");
  std::ifstream stream(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  require(stream.good() || stream.eof(), path.string() + ": expected a file that can be read, got an error");
  return bytes;
}

void write_file(const fs::path& path, std::string_view bytes) {
  fs::path draft = path;
  draft += ".part" + std::to_string(::getpid());
  std::ofstream stream(draft, std::ios::binary);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  stream.close();
  std::error_code problem;
  if (stream.good()) fs::rename(draft, path, problem);
  if (stream.good() && !problem) return;
  std::error_code ignored;
  fs::remove(draft, ignored);
  throw Error(path.string() +
              ": expected a file that can be written, got a full disk, a missing folder or no permission");
}

}  // namespace runner
