#include "schedule.h"

#include <algorithm>
#include <numeric>
#include <set>

namespace runner {
namespace {

const Texts solvers = {"ddim",           "dpm-solver++",     "euler", "pndm",  "lcm", "ddpm",            "dpm-solver",
                       "sde-dpm-solver", "sde-dpm-solver++", "deis",  "unipc", "lms", "euler-ancestral", "heun",
                       "kdpm2",          "kdpm2-ancestral",  "tcd"};
const Texts predictions = {"v", "epsilon", "sample", "flow"};
const Texts spacings = {"trailing", "leading", "linspace"};
const Texts guidance_kinds = {"cfg", "distilled", "none"};

// How many tensors the solver remembers: the update of every step has K rows of K + 1 numbers.
std::size_t read_update(const Fields& fields) {
  std::set<std::size_t> rows;
  for (const Json& matrix : fields.list("update")) {
    if (!matrix.is_array() || matrix.empty()) fields.refuse("update", "a matrix for every step");
    rows.insert(matrix.size());
    for (const Json& row : matrix) {
      const bool good = row.is_array() && row.size() == matrix.size() + 1 &&
                        std::all_of(row.begin(), row.end(), [](const Json& value) { return value.is_number(); });
      if (!good) fields.refuse("update", "matrices of K rows and K + 1 columns");
    }
  }
  if (rows.size() != 1) fields.refuse("update", "matrices of one size");
  return *rows.begin() - 1;
}

// The rows that drawings make which skip 0, 1, ... steps.
std::vector<std::vector<int>> read_starts(const Fields& fields, std::size_t steps) {
  std::vector<std::vector<int>> starts;
  for (const Json& path : fields.list("starts")) {
    const bool good = path.is_array() && !path.empty() && std::all_of(path.begin(), path.end(), [&](const Json& row) {
      return row.is_number_integer() && row >= 0 && row < steps;
    });
    if (!good) fields.refuse("starts", "rows of the table");
    starts.push_back(path.get<std::vector<int>>());
  }
  return starts;
}

// The share of the guidance at each row.
std::vector<double> read_shares(const Fields& fields, const std::string& kind, std::size_t steps) {
  std::vector<double> shares = fields.numbers("guidance_shares");
  const bool fits = shares.empty() || (shares.size() == steps && kind == "cfg");
  if (!fits) fields.refuse("guidance_shares", "a share of the guidance for each step, with guidance_kind cfg");
  const bool within = std::all_of(shares.begin(), shares.end(), [](double share) { return share >= 0 && share <= 1; });
  if (!within) fields.refuse("guidance_shares", "guidance_shares from 0 to 1");
  return shares;
}

}  // namespace

std::vector<int> Schedule::rows(std::size_t skipped) const {
  if (!starts.empty()) return skipped < starts.size() ? starts[skipped] : std::vector<int>();
  if (skipped >= alphas.size()) return {};
  std::vector<int> all(alphas.size() - skipped);
  std::iota(all.begin(), all.end(), static_cast<int>(skipped));
  return all;
}

Schedule read_schedule(const Json& value) {
  const Fields fields(value, "manifest.json: schedule",
                      {"solver", "prediction", "spacing", "train_steps", "timesteps", "inputs", "update",
                       "noise_factors", "alphas", "sigmas", "starts", "guidance_kind", "guidance_default",
                       "guidance_shares", "zero_null", "noise"});
  fields.word("solver", solvers);
  fields.word("prediction", predictions);
  fields.word("spacing", spacings);
  fields.whole("train_steps");
  fields.text("noise");
  Schedule schedule;
  schedule.alphas = fields.numbers("alphas");
  schedule.sigmas = fields.numbers("sigmas");
  schedule.memory = read_update(fields);
  const std::size_t steps = fields.list("update").size();
  for (const char* name : {"timesteps", "inputs", "noise_factors", "alphas", "sigmas"}) {
    if (fields.numbers(name).size() != steps) fields.refuse(name, "a number for each step");
  }
  schedule.starts = read_starts(fields, steps);
  const auto factors = fields.numbers("noise_factors");
  schedule.stochastic = std::any_of(factors.begin(), factors.end(), [](double factor) { return factor != 0; });
  schedule.guidance_kind = fields.word("guidance_kind", guidance_kinds);
  schedule.guidance = fields.number("guidance_default");
  if (schedule.guidance_kind == "none" && schedule.guidance > 1) {
    fields.refuse("guidance_default", "1 or less without guidance");
  }
  schedule.zero_null = fields.flag("zero_null");
  schedule.shares = read_shares(fields, schedule.guidance_kind, steps);
  return schedule;
}

}  // namespace runner
