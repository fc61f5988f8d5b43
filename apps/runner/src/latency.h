// Times of stages and the conditions they were taken under, as latency.json has them (export/latency/measure.py).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "stages.h"

namespace runner {

// Milliseconds of the calls of one stage.
struct StageTimes {
  std::string stage;
  std::vector<double> milliseconds;
};

// The times of all runs among the events, stages in order of their first run.
std::vector<StageTimes> times_of(const std::vector<Event>& events);

// The machine, at the start of a measurement.
struct Conditions {
  std::string processor;
  long cores = 0;
  std::string system;
  std::optional<double> load;  // average of the last minute; none where the system has none
};

Conditions read_conditions();

// The JSON of latency.json.  Times under emulation are marked as an interpreter's: they are no device's.
std::string latency_report(const Conditions& conditions, std::int64_t threads, const std::vector<StageTimes>& times);

// JSON of every load, run and unload with its time and the memory after it, in kilobytes.
std::string events_report(const std::vector<Event>& events);

}  // namespace runner
