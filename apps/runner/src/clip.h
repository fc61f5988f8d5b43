// CLIP's byte-pair tokenizer, Stable Diffusion's (mobile_diffusion/tokenization/clip_tokenizer.py).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "added_tokens.h"
#include "byte_pairs.h"
#include "json.h"
#include "tokens.h"

namespace runner {

class ClipTokenizer : public OneTokenizer {
 public:
  // Throws Error when `definition` is not such a tokenizer.
  ClipTokenizer(const Json& definition, std::int64_t length);

 protected:
  std::vector<std::int32_t> ids(const std::u32string& prompt) const override;

 private:
  void find_companions();

  BytePairs pairs_;
  std::unique_ptr<AddedTokens> added_;
  // Ids that follow the id of an added token `x`: those of `x_1`, `x_2`, ...
  std::map<std::int32_t, std::vector<std::int32_t>> companions_;
  std::int32_t start_ = 0;
};

}  // namespace runner
