// For tests: loaded into the runner before it starts, it makes what an embedding app or a user does happen for certain.
//   LC_ALL          C and C++ follow this locale, as they do in an app that follows its user's settings
//   INTERRUPT_AT=N  Ctrl-C comes when the N-th file has appeared
#include <dlfcn.h>

#include <csignal>
#include <cstdlib>
#include <locale>
#include <string>

namespace {

__attribute__((constructor)) void follow_locale() {
  if (std::getenv("LC_ALL") != nullptr) std::locale::global(std::locale(""));  // ends the program if there is none
}

}  // namespace

extern "C" int rename(const char* from, const char* to) noexcept {
  using Rename = int (*)(const char*, const char*);
  static const auto real = reinterpret_cast<Rename>(::dlsym(RTLD_NEXT, "rename"));
  static int appeared = 0;
  const int result = real(from, to);
  const char* last = std::getenv("INTERRUPT_AT");
  if (last != nullptr && ++appeared == std::stoi(last)) std::raise(SIGINT);
  return result;
}
