// The one error a user can meet: a line that says what was expected, what was got, and how to fix it.
#pragma once

#include <stdexcept>
#include <string>

namespace runner {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws an Error unless the condition holds.
inline void require(bool condition, const std::string& message) {
  if (!condition) throw Error(message);
}

}  // namespace runner
