#include "interrupt.h"

#include <csignal>

namespace runner {
namespace {

volatile std::sig_atomic_t received = 0;

}  // namespace

void watch_signals() {
  struct sigaction action = {};
  action.sa_handler = [](int signal) { received = signal; };
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void check_interrupted() {
  if (received != 0) throw Interrupted{received};
}

}  // namespace runner
