// A text as it may stand in an error: quoted, one line, cut.
#pragma once

#include <string>
#include <string_view>

namespace runner {

std::string quote(std::string_view text);

}  // namespace runner
