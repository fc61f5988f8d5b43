// Opens a bundle and draws, replays golden vectors, or measures.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>

#include "bundle.h"
#include "drawing.h"
#include "error.h"
#include "files.h"
#include "golden.h"
#include "interrupt.h"
#include "latency.h"
#include "options.h"
#include "picture_file.h"
#include "png.h"
#include "preview.h"
#include "reading.h"
#include "stages.h"
#include "tiles.h"
#include "tokens.h"

namespace runner {
namespace {

constexpr const char* no_memory = "expected enough memory, got none: free some, or try --sequential\n";
constexpr int warm_up = 2;
constexpr double budget_ms = 30'000;  // a stage is not run again beyond it, warm-up and runs each

std::vector<std::string> needed_stages(const Bundle& bundle, const Options& options) {
  std::vector<std::string> names = {"encode_text", "denoise", "decode_image"};
  const bool picture = options.golden || options.image || task_of(bundle.manifest) != Task::draw;
  if (picture && bundle.manifest.stage("encode_image") != nullptr) names.push_back("encode_image");
  if (bundle.manifest.stage("encode_hint") != nullptr) names.push_back("encode_hint");
  return names;
}

// Refuses a bad prompt before anything large is loaded, and says when its end or all of it is ignored.
void check_prompt(const Tokenizer& tokenizer, const Settings& settings, const std::string& prompt, Syntax syntax) {
  const Tokens tokens = tokenizer.encode(prompt);
  if (!tokens.known) std::cerr << "the model knows no word of the prompt: the picture is any picture; use other words\n";
  if (!read_prompt(tokenizer, prompt, syntax, settings.windows).cut) return;
  const std::size_t length = tokenizer.parts().front()->length();
  if (settings.windows == 1 && syntax == Syntax::plain) {
    std::cerr << "the prompt has " << tokens.count << " tokens and the model reads " << length
              << ": its end is ignored; shorten it\n";
  } else {
    std::cerr << "the prompt does not fit into " << settings.windows << " windows of " << length
              << " tokens: its end is ignored; shorten it\n";
  }
}

// Calls a stage again and again; gives the times of the last calls.
StageTimes measure(Stages& stages, const std::string& stage, const Arrays& arrays, std::int64_t runs) {
  StageTimes times{stage, {}};
  for (const std::int64_t count : {std::int64_t{warm_up}, runs}) {
    times.milliseconds.clear();
    for (double sum = 0; static_cast<std::int64_t>(times.milliseconds.size()) < count && sum < budget_ms;) {
      stages.run(stage, arrays);
      times.milliseconds.push_back(stages.events().back().milliseconds);
      sum += times.milliseconds.back();
    }
  }
  return times;
}

std::vector<StageTimes> benchmark(Stages& stages, const RunStage& run, const Tokenizer& tokenizer,
                                  const Settings& settings, const Request& request, std::int64_t runs) {
  std::vector<StageTimes> times;
  const Arrays text = text_inputs(settings, tokenizer.encode(request.prompt));
  times.push_back(measure(stages, "encode_text", text, runs));
  const Arrays constant = conditions(run, tokenizer, settings, request);
  const Arrays step = step_inputs(settings, constant, first_state(settings, request.seed), 0, request.seed);
  times.push_back(measure(stages, "denoise", step, runs));
  const Floats latents = first_tile(settings, stages.run("denoise", step).at("latents"));
  times.push_back(measure(stages, "decode_image", {{"latents", latents}}, runs));
  return times;
}

// Writes a small picture after each step; does nothing when no folder is given.
OnStep previews_into(const std::optional<std::filesystem::path>& folder, const Bundle& bundle,
                     const Settings& settings) {
  if (!folder) return nullptr;
  const auto preview = read_preview(bundle, settings.latents.shape[1]);
  require(preview.has_value(), "--previews: expected a bundle with preview.json, got one without; export it again");
  return [=](int step, const Floats& latents) {
    const auto path = *folder / ("step-" + std::to_string(step + 1) + ".png");
    write_file(path, to_png((*preview)(latents, settings.latents)));
  };
}

// The picture that a drawing starts from, refused before anything large is loaded.
std::optional<Start> read_start(const Options& options, const Bundle& bundle, const Settings& settings) {
  std::optional<Start> start;
  const auto& image = settings.image.shape;
  if (options.image) {
    start = Start{read_picture(*options.image), options.strength, {}, options.image_guidance};
    if (options.mask) start->mask = read_mask(*options.mask, image[2], image[3]);
    if (options.mask && !options.strength) start->strength = 1;
  } else if (options.golden || options.benchmark > 0) {
    const bool edits = settings.task == Task::edit;  // a black picture serves to measure
    if (edits) start = Start{{image[3], image[2], std::vector<std::uint8_t>(settings.image.count())}};
  }
  check_start(bundle.manifest, settings, start);
  return start;
}

// The hints of ControlNets; black pictures serve to measure.
std::vector<Hint> read_hints(const Options& options, const Settings& settings) {
  const auto& image = settings.image.shape;
  std::vector<Hint> hints;
  for (std::size_t i = 0; i < options.hints.size(); ++i) {
    hints.push_back({read_picture(options.hints[i]), options.hint_scales.empty() ? 1 : options.hint_scales[i]});
  }
  const bool measures = options.golden || options.benchmark > 0;
  if (measures && hints.empty()) {
    hints.assign(settings.controls, {{image[3], image[2], std::vector<std::uint8_t>(settings.image.count())}});
  }
  check_hints(settings, hints);
  return hints;
}

// The file of one picture of several: its seed follows the name.
std::filesystem::path numbered(const std::filesystem::path& path, const Options& options, std::uint64_t seed) {
  if (options.batch == 1) return path;
  return path.parent_path() / (path.stem().string() + "-" + std::to_string(seed) + path.extension().string());
}

// Says so when memory runs out where no exception may leave: the JSON library allocates while it frees.
[[noreturn]] void end_without_memory() {
  try {
    if (std::current_exception()) std::rethrow_exception(std::current_exception());
  } catch (const std::bad_alloc&) {
    std::fputs(no_memory, stderr);
    std::_Exit(2);
  } catch (...) {
  }
  std::abort();
}

int run_with(const Options& options) {
  const Conditions conditions = read_conditions();
  const Bundle bundle = open_bundle(options.bundle);
  const Settings settings = settings_of(bundle.manifest);
  std::vector<std::filesystem::path> words;
  for (const std::string& file : bundle.manifest.tokenizer.files) words.push_back(bundle.verified(file));
  const auto tokenizer = open_tokenizer(bundle.manifest.tokenizer, words);
  if (options.prompt) check_prompt(*tokenizer, settings, *options.prompt, options.syntax);
  const OnStep on_step = previews_into(options.previews, bundle, settings);
  start_runtime(options.threads);
  Stages stages(bundle, needed_stages(bundle, options), options.sequential, options.packed);
  const RunStage run = [&](const std::string& stage, const Arrays& arrays) { return stages.run(stage, arrays); };
  Request request = {options.prompt.value_or(""), options.negative, options.seed,
                     options.guidance.value_or(settings.schedule.guidance), read_start(options, bundle, settings), options.syntax,
                     read_hints(options, settings),
                     read_adapters(bundle, settings, options.adapter_scales, options.adapter_files)};
  if (const std::string warning = unused_negative(settings, request); !warning.empty()) std::cerr << warning << "\n";
  std::string report;
  int status = 0;
  if (options.golden) {
    const Replay replay = replay_golden(bundle, run, *tokenizer, settings, options.depth);
    report = replay.report;
    status = replay.passed ? 0 : 1;
  } else if (options.benchmark > 0) {
    const auto times = benchmark(stages, run, *tokenizer, settings, request, options.benchmark);
    report = latency_report(conditions, options.threads, times);
  } else {
    const Arrays constant = runner::conditions(run, *tokenizer, settings, request);
    for (std::int64_t left = options.batch; left > 0; --left, ++request.seed) {
      const Picture picture = draw(run, settings, request, constant, on_step);
      if (options.out) write_file(numbered(*options.out, options, request.seed), to_png(picture));
    }
    report = latency_report(conditions, options.threads, times_of(stages.events()));
  }
  if (options.steps_json) write_file(*options.steps_json, events_report(stages.events()) + "\n");
  std::cout << report << std::endl;
  return status;
}

}  // namespace
}  // namespace runner

int main(int count, char** arguments) {
  std::set_terminate(runner::end_without_memory);
  try {
    const auto options = runner::parse_options({arguments + 1, arguments + count});
    runner::watch_signals();
    if (!options.help) return runner::run_with(options);
    std::cout << runner::usage;
    return 0;
  } catch (const runner::Interrupted& interrupted) {
    std::cerr << "stopped before the end; no picture was written\n";
    return 128 + interrupted.signal;
  } catch (const runner::Error& error) {
    std::cerr << error.what() << "\n";
  } catch (const std::bad_alloc&) {
    std::cerr << runner::no_memory;
  } catch (const std::exception& error) {
    std::cerr << "expected a bundle that can be run, got: " << error.what() << "\n";
  }
  return 2;
}
