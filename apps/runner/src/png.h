// A picture as a PNG file (PNG specification, third edition), stored without compression: no library is needed.
#pragma once

#include <string>

#include "picture.h"

namespace runner {

std::string to_png(const Picture& picture);

}  // namespace runner
