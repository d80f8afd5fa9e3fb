#include "dynamic_options.h"

#include <fmt/format.h>

#include "artifacts/quant_config.h"
#include "foundation/base/error.h"

namespace tessera::cli {
namespace {

bool asks_for_dynamic(const DynamicOptions& options) {
  return options.dynamic || !options.profile.empty() || !options.config.empty() ||
         !options.target_size.empty() || options.target_bpw || options.target_compression ||
         !options.sensitivity.empty();
}

void require_one_way(const DynamicOptions& options, const pipeline::QuantizeSettings& settings) {
  const int ways =
      (settings.type.empty() ? 0 : 1) + (options.plan.empty() ? 0 : 1) + (asks_for_dynamic(options) ? 1 : 0);
  if (ways == 1) return;
  throw UsageError(ways == 0
                       ? "say what to make: --type T (a recipe or tensor type), --dynamic with a target "
                         "(for example --target-bpw 2.5), or --plan FILE"
                       : "--type, --plan and the options of --dynamic exclude each other: give one of them");
}

std::optional<SizeTarget> target_of(const DynamicOptions& options) {
  const int given = (options.target_bpw ? 1 : 0) + (options.target_compression ? 1 : 0) +
                    (options.target_size.empty() ? 0 : 1);
  if (given > 1)
    throw UsageError("give one of --target-bpw, --target-size and --target-compression, not several");
  if (options.target_bpw) return SizeTarget{SizeTarget::Kind::bits_per_weight, *options.target_bpw};
  if (options.target_compression)
    return SizeTarget{SizeTarget::Kind::compression, *options.target_compression};
  if (options.target_size.empty()) return std::nullopt;
  return SizeTarget{SizeTarget::Kind::file_bytes, static_cast<double>(parse_byte_size(options.target_size))};
}

QuantConfig config_of(const DynamicOptions& options) {
  if (options.config.empty()) {
    QuantConfig config;
    config.policy = find_profile(options.profile.empty() ? kDefaultProfile : options.profile);
    return config;
  }
  if (!options.profile.empty())
    throw UsageError("--profile and --config exclude each other: write 'profile:' into the configuration");
  return read_quant_config(options.config);
}

pipeline::DynamicSettings dynamic_settings(const DynamicOptions& options,
                                           pipeline::QuantizeSettings& settings) {
  const auto config = config_of(options);
  pipeline::DynamicSettings dynamic{.policy = config.policy, .target = {}};
  const auto target = target_of(options);
  if (!target && !config.target) {
    throw UsageError(
        "--dynamic needs a target: --target-bpw 2.5, --target-size 3.5GiB or --target-compression 82");
  }
  dynamic.target = target ? *target : *config.target;
  if (!target) dynamic.target_place = config.target_place;
  dynamic.sensitivity = config.sensitivity;
  if (!options.sensitivity.empty()) dynamic.sensitivity = sensitivity_method_from_name(options.sensitivity);
  if (settings.walks.corpus.files.empty()) {
    for (const auto& file : config.data) settings.walks.corpus.files.push_back({.path = file});
  }
  if (!settings.imatrix && config.imatrix) settings.imatrix = config.imatrix;
  if (!options.config.empty()) settings.config_file = options.config;
  return dynamic;
}

void add_target_options(CLI::App& command, DynamicOptions& options) {
  command.add_flag("--dynamic", options.dynamic,
                   "Every tensor at the precision it needs, at exactly the size asked for");
  command.add_option("--target-bpw", options.target_bpw, "Size: bits per weight of all tensors, e.g. 2.5")
      ->check(CLI::Range(0.1, 32.0));
  command.add_option("--target-size", options.target_size, "Size: of the whole file, e.g. 3.5GiB or 900MB");
  command
      .add_option("--target-compression", options.target_compression,
                  "Size: percent saved against the 16-bit file, e.g. 82")
      ->check(CLI::Range(0.1, 99.9));
  command.add_option(
      "--profile", options.profile,
      fmt::format("What the allocation may do ('tessera profiles' lists them) [{}]", kDefaultProfile));
  command.add_option("--config", options.config, "YAML or JSON file with profile, target and rules");
  command.add_option("--plan", options.plan, "Use the types of a plan that 'tessera plan' saved");
}

}  // namespace

void add_dynamic_options(CLI::App& command, DynamicOptions& options) {
  add_target_options(command, options);
  add_corpus_options(command, options.corpus);
  command.get_option("--file")->required(false);
  command
      .add_option(
          "--sensitivity", options.sensitivity,
          "fisher: from one backward pass (default where there are texts); measured: each tensor alone; "
          "prior: role and depth alone")
      ->check(CLI::IsMember({"fisher", "measured", "prior"}));
  command
      .add_option("--sensitivity-samples", options.sensitivity_samples,
                  "Windows of the texts that sensitivities are taken from")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_forward_options(command, options.forward);
  command.add_option(
      "--checkpoint", options.checkpoint,
      "Folder that keeps finished layers of the walks; otherwise OUTPUT.work while it is needed");
  command.add_flag("--no-cache", options.no_cache,
                   "Neither look for importance and sensitivities of an equal run nor keep this one's");
}

void apply_dynamic_options(const DynamicOptions& options, pipeline::QuantizeSettings& settings) {
  require_one_way(options, settings);
  auto& walks = settings.walks;
  walks.corpus = corpus_settings(options.corpus);
  walks.sensitivity_samples = options.sensitivity_samples;
  walks.seed = options.corpus.settings.seed;
  walks.precision = precision_of(options.forward);
  walks.memory_bytes = memory_bytes_of(options.forward);
  walks.scratch_folder = options.forward.scratch_folder;
  if (!options.checkpoint.empty()) walks.checkpoint = options.checkpoint;
  walks.use_cache = !options.no_cache;
  if (!options.plan.empty()) settings.plan_file = options.plan;
  if (asks_for_dynamic(options)) settings.dynamic = dynamic_settings(options, settings);
  for (const auto& text : options.evaluate) settings.evaluation.files.push_back({.path = text});
  settings.evaluation.context = options.corpus.settings.context;
  settings.evaluation.samples = options.evaluate_samples;
}

}  // namespace tessera::cli
