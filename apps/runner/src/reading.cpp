#include "reading.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "error.h"
#include "unicode.h"
#include "utf8.h"

namespace runner {
namespace {

constexpr std::size_t backtrack = 20;  // tokens behind the last comma of a full window that move to the next one
constexpr double smallest = 1e-5;      // the least weight that counts: at 0 a share would be infinite

struct Weighted {
  std::int32_t id;
  double weight;
};

using Row = std::vector<Weighted>;

struct Divided {
  std::vector<Row> windows;
  bool cut = false;
};

// Fills windows as the web UI does: the last is cut, and empty ones follow a short prompt.
class Divider {
 public:
  Divider(const OneTokenizer& part, std::size_t count) : part_(part), count_(count), capacity_(part.length() - 2) {
    const auto commas = part.words(U",");
    if (commas.size() == 1) comma_ = commas[0];
  }

  Divided divide(const std::vector<Piece>& pieces) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      if (!pieces[i].is_break) {
        if (!add(pieces[i])) return finished(true);
      } else if (done_.size() + 1 < count_) {
        close(window_.size());
      } else {
        return finished(std::any_of(pieces.begin() + static_cast<std::ptrdiff_t>(i), pieces.end(), [&](const Piece& each) {
          return !each.is_break && !part_.words(each.text).empty();
        }));
      }
    }
    return finished(false);
  }

 private:
  // False when tokens do not fit.
  bool add(const Piece& piece) {
    for (const std::int32_t id : part_.words(piece.text)) {
      if (window_.size() == capacity_ && done_.size() + 1 == count_) return false;
      if (id == comma_) {
        last_comma_ = window_.size();
      } else if (window_.size() == capacity_ && last_comma_ && window_.size() - *last_comma_ <= backtrack) {
        close(*last_comma_ + 1);
      }
      if (window_.size() == capacity_) close(capacity_);
      window_.push_back({id, piece.weight});
    }
    return true;
  }

  void close(std::size_t size) {
    const auto end = window_.begin() + static_cast<std::ptrdiff_t>(size);
    done_.emplace_back(window_.begin(), end);
    window_.erase(window_.begin(), end);
    last_comma_.reset();
  }

  Divided finished(bool cut) {
    done_.push_back(window_);
    done_.resize(count_);
    return {done_, cut};
  }

  const OneTokenizer& part_;
  std::size_t count_, capacity_;
  std::optional<std::int32_t> comma_;
  std::optional<std::size_t> last_comma_;
  std::vector<Row> done_;
  Row window_;
};

void append(Window& window, const OneTokenizer& part, const Row& row) {
  std::vector<std::int32_t> ids;
  for (const Weighted& each : row) ids.push_back(each.id);
  const Tokens tokens = part.window(ids);
  window.tokens.ids.insert(window.tokens.ids.end(), tokens.ids.begin(), tokens.ids.end());
  window.tokens.mask.insert(window.tokens.mask.end(), tokens.mask.begin(), tokens.mask.end());
  const std::size_t first = window.weights.size();
  window.weights.resize(first + part.length(), 1);
  for (std::size_t i = 0; i < row.size(); ++i) window.weights[first + 1 + i] = row[i].weight;
}

Version version_of(const Tokenizer& tokenizer, const std::vector<Piece>& pieces, std::size_t count, double share,
                   bool& cut) {
  Version version{share, std::vector<Window>(count)};
  for (const OneTokenizer* part : tokenizer.parts()) {
    const Divided divided = Divider(*part, count).divide(pieces);
    cut = cut || divided.cut;
    for (std::size_t i = 0; i < count; ++i) append(version.windows[i], *part, divided.windows[i]);
  }
  return version;
}

bool is_plain(const Version& version) {
  return std::all_of(version.windows.begin(), version.windows.end(), [](const Window& window) {
    return std::all_of(window.weights.begin(), window.weights.end(), [](double weight) { return weight == 1; });
  });
}

Reading read_compel(const Tokenizer& tokenizer, const std::vector<Piece>& pieces, std::size_t count) {
  Reading reading;
  reading.versions.push_back(version_of(tokenizer, pieces, count, 1, reading.cut));
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::u32string& text = pieces[i].text;
    if (pieces[i].weight >= 1 || std::all_of(text.begin(), text.end(), unicode::is_space)) continue;
    std::vector<Piece> others = pieces;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    const double share = std::tan((1 - std::max(pieces[i].weight, smallest)) * std::numbers::pi / 2);
    bool ignored = false;
    reading.versions.push_back(version_of(tokenizer, others, count, share, ignored));
  }
  if (!std::all_of(reading.versions.begin(), reading.versions.end(), is_plain)) reading.empty = tokenizer.encode("");
  return reading;
}

// Vectors (L, D) of a window: led away from the empty prompt's, or multiplied, keeping the mean of each encoder.
std::vector<double> weighed(const Floats& context, const Window& window, const std::vector<std::int64_t>& widths,
                            const Floats* empty) {
  std::vector<double> result(context.begin(), context.end());
  const auto& weights = window.weights;
  const bool untouched = std::all_of(weights.begin(), weights.end(), [](double weight) { return weight == 1; });
  if (untouched && empty == nullptr) return result;
  const std::size_t length = weights.size() / widths.size(), width = context.size() / length;
  std::size_t first = 0;
  for (std::size_t encoder = 0; encoder < widths.size(); ++encoder) {
    const std::size_t end = first + static_cast<std::size_t>(widths[encoder]);
    double before = 0, after = 0;
    for (std::size_t token = 0; token < length; ++token) {
      const double weight = weights[encoder * length + token];
      for (std::size_t i = token * width + first; i < token * width + end; ++i) {
        const double value = context[i], base = empty == nullptr ? 0 : (*empty)[i];
        before += value;
        after += weight * value;
        result[i] = empty == nullptr ? weight * value : base + weight * (value - base);
      }
    }
    if (empty == nullptr) {
      for (std::size_t token = 0; token < length; ++token) {
        for (std::size_t i = token * width + first; i < token * width + end; ++i) result[i] *= before / after;
      }
    }
    first = end;
  }
  return result;
}

}  // namespace

Reading read_prompt(const Tokenizer& tokenizer, const std::string& prompt, Syntax syntax, std::size_t windows) {
  Tokens whole = tokenizer.encode(prompt);  // which also checks the text
  if (syntax == Syntax::plain && windows == 1) {
    Reading reading;
    reading.cut = whole.count > tokenizer.parts().front()->length();
    const std::vector<double> weights(whole.ids.size(), 1);
    reading.versions.push_back({1, {{std::move(whole), weights}}});
    return reading;
  }
  const std::u32string text = decode_utf8(prompt).value();
  if (syntax == Syntax::compel) return read_compel(tokenizer, parse_compel(text), windows);
  Reading reading;
  const std::vector<Piece> pieces = syntax == Syntax::a1111 ? parse_a1111(text) : std::vector<Piece>{{text}};
  reading.versions.push_back(version_of(tokenizer, pieces, windows, 1, reading.cut));
  return reading;
}

Outputs encode_reading(const Reading& reading, const Settings& settings, const EncodeWindow& encode) {
  std::optional<Floats> empty;
  if (reading.empty) empty = encode(*reading.empty).at("context");
  const bool plain = reading.versions.size() == 1 && is_plain(reading.versions.front());
  Outputs outputs;
  std::vector<double> mixed;
  double total = 0;
  for (const Version& version : reading.versions) {
    std::vector<double> context;
    for (const Window& window : version.windows) {
      Outputs found = encode(window.tokens);
      const auto part = weighed(found.at("context"), window, settings.text_widths, empty ? &*empty : nullptr);
      context.insert(context.end(), part.begin(), part.end());
      if (outputs.empty()) outputs = std::move(found);
    }
    total += version.share;
    if (mixed.empty()) mixed.resize(context.size(), 0);
    for (std::size_t i = 0; i < context.size(); ++i) mixed[i] = plain ? context[i] : mixed[i] + version.share * context[i];
  }
  Floats context(mixed.size());
  for (std::size_t i = 0; i < mixed.size(); ++i) context[i] = static_cast<float>(plain ? mixed[i] : mixed[i] / total);
  const bool finite = std::all_of(context.begin(), context.end(), [](float value) { return std::isfinite(value); });
  require(plain || finite, "prompt: expected weights that leave a finite text, got weights that do not; change them");
  outputs["context"] = std::move(context);
  return outputs;
}

}  // namespace runner
