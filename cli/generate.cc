// tessera generate: a prompt in, its continuation out as it comes.
#include "pipeline/generate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "command.h"
#include "forward_options.h"
#include "foundation/base/error.h"
#include "foundation/formats/json/json_object.h"
#include "option_values.h"
#include "progress_display.h"

namespace tessera::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct GenerateOptions {
  CommonOptions common;
  ForwardOptions forward{.memory = "8G", .scratch_folder = {}};
  pipeline::GenerateSettings settings;
  std::optional<std::string> prompt;
  std::optional<std::filesystem::path> prompt_file;
  std::int64_t new_tokens = 128;
  bool greedy = false;
  bool no_display_prompt = false;
  bool json = false;
};

pipeline::GenerateSettings settings_of(const GenerateOptions& options) {
  auto settings = options.settings;
  if (options.prompt_file) {
    settings.prompt = json::read_text_file(*options.prompt_file);
  } else if (options.prompt) {
    settings.prompt = *options.prompt;
  } else {
    throw UsageError("there is nothing to go on from: give -p TEXT or -f FILE");
  }
  if (options.new_tokens < 1) throw UsageError("-n must be at least 1: there must be a token to generate");
  settings.new_tokens = static_cast<std::size_t>(options.new_tokens);
  if (options.greedy) settings.sampling.temperature = 0;
  settings.precision = precision_of(options.forward);
  settings.memory_bytes = memory_bytes_of(options.forward);
  settings.threads = options.common.threads;
  return settings;
}

/// Writes a model's text to standard output as it comes. On a terminal, control characters other than tabs
/// and ends of lines are spelled: a text must not steer it.
class TextWriter {
 public:
  void write(std::string_view text) const {
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (terminal_ && (byte == 0x7f || (byte < 0x20 && c != '\n' && c != '\t'))) {
        fmt::print("\\x{:02x}", byte);
      } else {
        std::fputc(c, stdout);
      }
    }
    std::fflush(stdout);
  }

 private:
  bool terminal_ = ::isatty(STDOUT_FILENO) == 1;
};

/// Counts tokens and the time from the first of them on, which leaves out loading and the prompt.
class Rate {
 public:
  void count() {
    if (tokens_++ == 0) first_ = Clock::now();
  }
  std::string text() const {
    const double seconds = std::chrono::duration<double>(Clock::now() - first_).count();
    if (tokens_ < 2) return fmt::format("{} tokens", tokens_);
    return fmt::format("{} tokens, {:.2f} tokens per second", tokens_,
                       static_cast<double>(tokens_ - 1) / seconds);
  }

 private:
  std::size_t tokens_ = 0;
  Clock::time_point first_;
};

void run(const GenerateOptions& options) {
  const auto settings = settings_of(options);
  ProgressDisplay progress(options.common);
  install_stop_handlers();
  const TextWriter writer;
  Rate rate;
  bool shows_prompt = !options.no_display_prompt;
  const auto show = [&](std::string_view text) {
    rate.count();
    if (options.json) return;
    if (std::exchange(shows_prompt, false)) writer.write(settings.prompt);
    writer.write(text);
  };
  const auto report = pipeline::generate(settings, show, progress, stop_flag());
  if (options.json) {
    fmt::print("{}\n", to_json(report).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    if (shows_prompt) writer.write(settings.prompt);
    fmt::print("\n");
  }
  const bool ended = report.generation.stopped == model::StopReason::end_token;
  progress.note(fmt::format("{}{}", rate.text(), ended ? ", the model ended its text" : ""));
}

void add_sampling_options(CLI::App& command, GenerateOptions& options) {
  auto& sampling = options.settings.sampling;
  sampling.temperature = 0.8;
  auto* temperature =
      command.add_option("--temp", sampling.temperature, "Temperature; 0 takes the most probable token")
          ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "Choose among this many most probable tokens; 0: all")
      ->capture_default_str();
  command
      .add_option("--top-p", sampling.top_p,
                  "Choose among the most probable tokens that hold this share of the probability together")
      ->capture_default_str();
  command.add_option("-s,--seed", sampling.seed, "Another seed is another text, the same one the same")
      ->capture_default_str();
  command.add_flag("--greedy", options.greedy, "Always take the most probable token")->excludes(temperature);
}

}  // namespace

void add_generate(CLI::App& program) {
  auto options = std::make_shared<GenerateOptions>();
  auto* command = program.add_subcommand("generate", "Let a model continue a text");
  command->add_option("model,-m,--model", options->settings.model, "GGUF file or Hugging Face folder")
      ->required();
  auto* prompt = command->add_option("-p,--prompt", options->prompt, "The text to continue");
  command->add_option("-f,--file", options->prompt_file, "File with the text to continue")->excludes(prompt);
  command->add_option("-n,--predict,--n-predict", options->new_tokens, "Tokens to generate, at most")
      ->capture_default_str();
  add_sampling_options(*command, *options);
  add_precision_option(*command, options->forward);
  command
      ->add_option("--memory", options->forward.memory,
                   "Weights that may stay decoded in memory; layers beyond it are decoded for every token")
      ->capture_default_str();
  command->add_flag("--no-display-prompt", options->no_display_prompt, "Print the continuation alone");
  command->add_flag("--json", options->json, "Print text and tokens as JSON at the end");
  command->add_option("--pre", options->settings.open.pre_tokenizer,
                      "llama.cpp's name of a folder's pre-tokenizer, where tokenizer.json does not tell it");
  add_common_options(*command, options->common);
  command->footer("\nExample:\n  tessera generate model-Q4_K_M.gguf -p 'Once upon a time' -n 100 --greedy\n");
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli
