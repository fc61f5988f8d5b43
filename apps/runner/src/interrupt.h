// Ctrl-C stops between two calls of a stage, so that nothing is left half-written; a second one ends at once.
#pragma once

namespace runner {

// What a signal makes `check_interrupted` throw; `signal` is its number.
struct Interrupted {
  int signal;
};

// Takes notice of SIGINT and SIGTERM from now on.
void watch_signals();

// Throws Interrupted when a signal has come.
void check_interrupted();

}  // namespace runner
