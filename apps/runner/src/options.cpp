#include "options.h"

#include <cmath>
#include <functional>
#include <map>

#include "adapter.h"
#include "error.h"
#include "files.h"
#include "hint.h"
#include "numbers.h"
#include "program.h"
#include "quote.h"

namespace runner {

const char* const usage =
    R"(Draws a picture with a bundle that `mobile-diffusion export android` has written.

  runner --bundle build/android --prompt "a red apple, 3d" --seed 7 --out apple.png

  --bundle DIR         the bundle; its manifest and every file that is used are verified
  --prompt TEXT        what to draw; "" is the null condition
  --prompt-file FILE   the prompt from a file, for long ones
  --negative TEXT      what the picture should not show
  --prompt-syntax NAME how both write weights: plain (none), a1111 ((word:1.3), [word]) or compel (word++, (words)1.3)
  --seed N             0 to 18446744073709551615; the same seed gives the same picture everywhere
  --guidance X         scale of guidance, up to 30; 1 or less is none; the bundle's own by default
  --batch N            pictures to draw, with this seed and those after it: apple-7.png, apple-8.png, ...
  --image FILE.png     picture to start from, as large as the model's pictures
  --strength X         how much of --image to draw anew, above 0 and up to 1; 0.8 by default, 1 with a mask
  --mask FILE.png      draws --image anew where this picture is white
  --image-guidance X   how closely a model that edits pictures follows --image, 1 to 30; 1.5 by default
  --hint FILE.png      picture for a ControlNet, as large as the model's; one per ControlNet, in their order
  --hint-scale X       strength of each --hint, in their order, 0 to 2; 1 by default
  --adapter-scale NAME=X  turns an adapter on, at a scale from -5 to 5; may be repeated; all are off by default
  --adapter-file FILE  adds an adapter that was made for the bundle later, by the name of its file
  --out FILE.png       picture to write; -o is short for it
  --previews DIR       writes step-1.png, step-2.png, ... there while the picture clears, as small as the latents
  --threads N          1 to 256; 2 by default
  --sequential         hold one stage in memory at a time
  --packed DIR         keep packed weights in files there, mapped: less memory, and quicker loading from the second time
  --steps-json FILE    every load and run with its time and memory, in order
  --benchmark N        time each stage N times instead of drawing
  --golden             compare every stage, step and trajectory with the bundle's golden vectors instead of drawing
  --depth step         with --golden: the first step and a decoding only

Standard output is JSON: times as latency.json has them, or with --golden the distances from PyTorch.
Exit status: 0; 1 when golden vectors are missed; 2 with one line on standard error for anything that cannot be used;
130 when Ctrl-C has stopped it.
)";

namespace {

constexpr std::int64_t most_runs = 10'000;

template <typename Number>
Number number_in(const std::string& name, const std::string& text, Number least, Number most) {
  const auto value = parse_number<Number>(text);
  require(value && *value >= least && *value <= most,
          name + ": expected " + format_number(least) + " to " + format_number(most) + ", got " + quote(text));
  return *value;
}

double guidance_of(const std::string& text) {
  const auto value = parse_number<double>(text);
  require(value && std::isfinite(*value) && *value <= max_guidance,
          "--guidance: expected a number up to " + format_number(max_guidance) + ", got " + quote(text));
  return *value;
}

Depth depth_of(const std::string& text) {
  require(text == "step" || text == "trajectory", "--depth: expected step or trajectory, got " + quote(text));
  return text == "step" ? Depth::step : Depth::trajectory;
}

std::filesystem::path picture_path(const std::string& name, const std::string& text) {
  const std::filesystem::path path = text;
  require(path.extension() == ".png", name + ": expected a file name that ends in .png, got " + quote(text));
  return path;
}

std::filesystem::path existing_folder(const std::string& name, const std::string& text) {
  std::error_code problem;
  require(std::filesystem::is_directory(text, problem), name + ": expected a folder that exists, got " + quote(text));
  return text;
}

void add_scale(Options& options, const std::string& text) {
  const std::size_t middle = text.find('=');
  require(middle != std::string::npos && middle > 0, "--adapter-scale: expected NAME=SCALE such as ink=0.7, got " + quote(text));
  const std::string name = text.substr(0, middle);
  for (const auto& [known, scale] : options.adapter_scales) {
    require(known != name, "--adapter-scale: expected each name once, got " + quote(name) + " twice");
  }
  const double scale = number_in("--adapter-scale", text.substr(middle + 1), -max_adapter_scale, max_adapter_scale);
  options.adapter_scales.emplace_back(name, scale);
}

using Setter = std::function<void(Options&, const std::string&)>;

const std::map<std::string, Setter> values = {
    {"--bundle", [](Options& o, const std::string& text) { o.bundle = text; }},
    {"--prompt", [](Options& o, const std::string& text) { o.prompt = text; }},
    {"--prompt-file", [](Options& o, const std::string& text) { o.prompt = read_file(text); }},
    {"--negative", [](Options& o, const std::string& text) { o.negative = text; }},
    {"--prompt-syntax", [](Options& o, const std::string& text) { o.syntax = syntax_of(text); }},
    {"--seed",
     [](Options& o, const std::string& text) { o.seed = number_in<std::uint64_t>("--seed", text, 0, UINT64_MAX); }},
    {"--guidance", [](Options& o, const std::string& text) { o.guidance = guidance_of(text); }},
    {"--batch",
     [](Options& o, const std::string& text) { o.batch = number_in<std::int64_t>("--batch", text, 1, most_runs); }},
    {"--image", [](Options& o, const std::string& text) { o.image = text; }},
    {"--strength", [](Options& o, const std::string& text) { o.strength = number_in("--strength", text, 0.0, 1.0); }},
    {"--mask", [](Options& o, const std::string& text) { o.mask = text; }},
    {"--image-guidance",
     [](Options& o, const std::string& text) {
       o.image_guidance = number_in("--image-guidance", text, 1.0, max_guidance);
     }},
    {"--hint", [](Options& o, const std::string& text) { o.hints.emplace_back(text); }},
    {"--hint-scale",
     [](Options& o, const std::string& text) {
       o.hint_scales.push_back(number_in("--hint-scale", text, 0.0, max_hint_scale));
     }},
    {"--adapter-scale", add_scale},
    {"--adapter-file", [](Options& o, const std::string& text) { o.adapter_files.emplace_back(text); }},
    {"--out", [](Options& o, const std::string& text) { o.out = picture_path("--out", text); }},
    {"-o", [](Options& o, const std::string& text) { o.out = picture_path("-o", text); }},
    {"--steps-json", [](Options& o, const std::string& text) { o.steps_json = text; }},
    {"--packed", [](Options& o, const std::string& text) { o.packed = existing_folder("--packed", text); }},
    {"--previews", [](Options& o, const std::string& text) { o.previews = existing_folder("--previews", text); }},
    {"--threads",
     [](Options& o, const std::string& text) {
       o.threads = number_in<std::int64_t>("--threads", text, 1, max_threads);
     }},
    {"--benchmark",
     [](Options& o, const std::string& text) {
       o.benchmark = number_in<std::int64_t>("--benchmark", text, 1, most_runs);
     }},
    {"--depth", [](Options& o, const std::string& text) { o.depth = depth_of(text); }},
};

const std::map<std::string, bool Options::*> flags = {
    {"--help", &Options::help}, {"--sequential", &Options::sequential}, {"--golden", &Options::golden}};

// Refuses options that make no sense together.
void check(const Options& options) {
  if (options.help) return;
  require(!options.bundle.empty(), "--bundle: expected a bundle's folder, got none; see --help");
  const bool pictures = options.out || options.previews || options.image || options.batch > 1;
  require(!options.golden || (options.benchmark == 0 && !options.prompt && !pictures),
          "--golden: expected no --prompt, --image, --batch, --out, --previews or --benchmark beside it, as the bundle says "
          "what is drawn");
  require(options.benchmark == 0 || !pictures, "--benchmark: expected no --out, --image, --batch or --previews, as nothing is drawn");
  require(options.hint_scales.empty() || options.hint_scales.size() == options.hints.size(),
          "--hint-scale: expected none, or one per --hint, got " + std::to_string(options.hint_scales.size()) + " for " +
              std::to_string(options.hints.size()));
  require(options.image || !(options.mask || options.strength || options.image_guidance),
          "--mask, --strength and --image-guidance: expected --image with the picture to start from, got none");
  require(options.seed <= UINT64_MAX - static_cast<std::uint64_t>(options.batch - 1),
          "--batch: expected seeds up to " + format_number(UINT64_MAX) + ", got " + format_number(options.batch) +
              " from --seed " + format_number(options.seed));
  require(options.golden || options.prompt, "--prompt: expected what to draw, got none; see --help");
}

}  // namespace

Options parse_options(const std::vector<std::string>& arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& name = arguments[i];
    if (const auto flag = flags.find(name); flag != flags.end()) {
      options.*(flag->second) = true;
      continue;
    }
    const auto found = values.find(name);
    require(found != values.end(), "expected an option, got " + quote(name) + "; see --help");
    require(i + 1 < arguments.size(), name + ": expected a value, got none; see --help");
    found->second(options, arguments[++i]);
  }
  check(options);
  return options;
}

}  // namespace runner
