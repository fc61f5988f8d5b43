#include "latency.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "json.h"

namespace runner {
namespace {

// The value of the first line of /proc/cpuinfo that begins with a name; "" without one.
std::string processor_line(const std::string& name) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with(name) && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "";
}

// A program for ARM on a processor that is not: user-mode emulation shows the host's own /proc/cpuinfo.
bool is_emulated() {
#if defined(__aarch64__)
  return processor_line("CPU implementer").empty();
#else
  return false;
#endif
}

std::string processor() {
  std::string name = processor_line("model name");
  if (name.empty()) name = processor_line("Hardware");
  utsname system{};
  uname(&system);
  if (name.empty()) name = system.machine;
  return is_emulated() ? name + ", emulating " + system.machine : name;
}

// Linear between the neighbours, as numpy has it.
double percentile(const std::vector<double>& sorted, double fraction) {
  const double place = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Json stage_report(const StageTimes& times) {
  std::vector<double> sorted = times.milliseconds;
  std::sort(sorted.begin(), sorted.end());
  const double first = percentile(sorted, 0.25), third = percentile(sorted, 0.75);
  return {{"stage", times.stage},       {"median_ms", percentile(sorted, 0.5)},
          {"first_quartile_ms", first}, {"third_quartile_ms", third},
          {"runs", sorted.size()},      {"spread_ms", third - first}};
}

}  // namespace

std::vector<StageTimes> times_of(const std::vector<Event>& events) {
  std::vector<StageTimes> found;
  for (const Event& event : events) {
    if (event.what != "run") continue;
    auto place = std::find_if(found.begin(), found.end(), [&](const auto& each) { return each.stage == event.stage; });
    if (place == found.end()) place = found.insert(place, {event.stage, {}});
    place->milliseconds.push_back(event.milliseconds);
  }
  return found;
}

Conditions read_conditions() {
  utsname system{};
  uname(&system);
  double load = 0;
  const bool known = getloadavg(&load, 1) == 1;
  return {processor(), sysconf(_SC_NPROCESSORS_ONLN), std::string(system.sysname) + " " + system.machine,
          known ? std::optional(load) : std::nullopt};
}

std::string latency_report(const Conditions& conditions, std::int64_t threads, const std::vector<StageTimes>& times) {
  Json stages = Json::array();
  for (const StageTimes& each : times) stages.push_back(stage_report(each));
  const Json entry = {{"runner", "executorch c++"},
                      {"kind", is_emulated() ? "interpreter" : "runtime"},
                      {"version", EXECUTORCH_VERSION},
                      {"threads", threads},
                      {"stages", stages}};
  const Json machine = {{"processor", conditions.processor},
                        {"cores", conditions.cores},
                        {"system", conditions.system},
                        {"load", conditions.load ? Json(*conditions.load) : Json(nullptr)}};
  return Json{{"conditions", machine}, {"runners", Json::array({entry})}}.dump(1);
}

std::string events_report(const std::vector<Event>& events) {
  Json report = Json::array();
  for (const Event& event : events) {
    Json entry = {{"event", event.what}, {"stage", event.stage}};
    if (event.step >= 0) entry["step"] = event.step;
    entry["ms"] = event.milliseconds;
    entry["peak_kb"] = event.memory.peak;
    entry["resident_kb"] = event.memory.resident;
    entry["anonymous_kb"] = event.memory.anonymous;
    entry["mapped_kb"] = event.memory.mapped;
    report.push_back(std::move(entry));
  }
  return Json{{"kind", is_emulated() ? "interpreter" : "runtime"}, {"events", report}}.dump(1);
}

}  // namespace runner
