// Makes a model with activation outliers of one that has none, by an exact transformation.
//
//   make_outlier_model ../shared/models/small -o outliers.gguf --channels 4 --factor 200
//
// Some channels of the norms before attention and before the feed-forward are multiplied by a factor, and the
// columns that read them divided by it: smoothing turned over. In F32 the model computes what it did, but
// most of the range of its activations now lies in a few channels, as large language models have it (Dettmers
// et al., arXiv 2208.07339), and W8A8 without smoothing becomes bad.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "model/forward/decoder_config.h"
#include "pipeline/plain_gguf.h"
#include "stages/smoothed_weights.h"

namespace tessera {
namespace {

struct Options {
  std::string model, output;
  std::uint32_t channels = 4;
  double factor = 200;
};

/// The channels lie evenly spaced, in other places from layer to layer.
SmoothedFold outliers_of(const Options& options, const model::FoldRule& rule, std::uint32_t layer,
                         std::uint32_t embedding) {
  SmoothedFold fold{.layer = layer, .fold = std::string(rule.name), .alpha = 1};
  fold.scales.assign(embedding, 1);
  for (std::uint32_t i = 0; i < options.channels; ++i)
    fold.scales[(i * embedding / options.channels + 7 * layer + 3) % embedding] = 1 / options.factor;
  return fold;
}

void make(const Options& options) {
  const auto model = model::open_model(options.model);
  const auto config = model::read_decoder_config(model);
  const auto rules = model::smoothing_folds(model.metadata.text("general.architecture").value_or(""));
  SmoothingPlan plan;
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    for (const auto& rule : rules) {
      const bool is_norm = rule.carrier.ends_with("_norm.weight");
      if (is_norm) plan.folds.push_back(outliers_of(options, rule, layer, config.embedding));
    }
  }
  const stages::SmoothedWeights outliers(*model.weights, plan, rules, {});
  SilentProgress silent;
  pipeline::write_plain_gguf(
      outliers, model.metadata,
      {.input = options.model, .output = options.output, .type = ElementType::F32, .write = {}, .encode = {}},
      silent, StopFlag());
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) try {
  tessera::Options options;
  CLI::App program("Makes a model with activation outliers of one that has none.", "make_outlier_model");
  program.add_option("model", options.model, "GGUF file or Hugging Face folder")->required();
  program.add_option("-o,--output", options.output, "GGUF file to write")->required();
  program.add_option("--channels", options.channels, "Outlier channels of every norm")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  program.add_option("--factor", options.factor, "How far they stand out")
      ->check(CLI::Range(1.0, 1e4))
      ->capture_default_str();
  CLI11_PARSE(program, argc, argv);
  tessera::make(options);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "make_outlier_model: %s\n", error.what());
  return 1;
}
