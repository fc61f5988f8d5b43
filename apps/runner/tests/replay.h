// Draws with a recorded trajectory of the golden files in the place of the programs.
#pragma once

#include "../src/json.h"

namespace runner {

// A trajectory's picture, previews and number of calls, each picture as {"width", "height", "sha256"}; throws Error at
// the first call that is not the recorded one.  `file` lies in a folder of the golden files, whose tokenizers it names.
Json replay_trajectory(const std::string& file);

}  // namespace runner
