#include "pipeline/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "artifacts/calibration_statistics.h"
#include "foundation/base/error.h"
#include "foundation/kernels/gemm.h"
#include "model/architecture/tensor_role.h"
#include "model/forward/forward_pass.h"
#include "model/source/int8_weights.h"
#include "model/text/tokenizer.h"
#include "pipeline/layer_progress.h"
#include "pipeline/restored_model.h"
#include "stages/calibrate.h"
#include "stages/compare_models.h"
#include "stages/score_windows.h"

namespace tessera::pipeline {
namespace {

void check(const EvaluateSettings& settings, bool has_quantized) {
  if (settings.corpus.context < 3) throw UsageError("--ctx: at least 3 tokens are needed to score a window");
  if (settings.coherence && !has_quantized) {
    throw UsageError("--coherence compares the texts of two models: give the quantized one as well");
  }
}

/// One of the two models with its walk.
struct Side {
  explicit Side(const EvaluationSubject& subject)
      : name(subject.name),
        files(subject.files),
        opened(subject.model),
        stored(subject.stored != nullptr ? *subject.stored : *opened.weights),
        config(model::read_decoder_config(opened)),
        floats(*opened.weights) {}

  void start(const model::TokenBatch& batch, const model::ForwardSettings& settings) {
    pass = std::make_unique<model::ForwardPass>(*opened.weights, config, batch, settings);
    pass->embed();
  }

  EvaluatedModel describe() const {
    EvaluatedModel model{.path = name, .size = {}, .perplexity = {}};
    for (const auto& tensor : stored.tensors()) {
      if (!model::is_scale_name(tensor.name)) model.size.weights += tensor.weights();
      model.size.tensor_bytes += tensor.bytes();
    }
    for (const auto& file : files) model.size.file_bytes += std::filesystem::file_size(file);
    return model;
  }

  std::string name;
  std::vector<std::filesystem::path> files;
  const model::OpenedModel& opened;
  const WeightSource& stored;  ///< the weights in the types that are in the files
  model::DecoderConfig config;
  model::DecodedInt8Weights floats;  ///< the weights, those of W8A8 linears decoded
  std::unique_ptr<model::ForwardPass> pass;
};

void require_same_model(const Side& original, const Side& quantized, const model::Tokenizer& tokenizer,
                        const model::Tokenizer& other) {
  const auto fail = [&](const std::string& difference) {
    throw BadFileError({.file = quantized.name},
                       fmt::format("{} is not its original: {}", original.name, difference));
  };
  if (original.config.layers != quantized.config.layers) {
    fail(fmt::format("it has {} layers, not {}", original.config.layers, quantized.config.layers));
  }
  if (original.config.vocabulary != quantized.config.vocabulary) {
    fail(fmt::format("its vocabulary has {} tokens, not {}", original.config.vocabulary,
                     quantized.config.vocabulary));
  }
  if (tokenizer.size() != other.size()) {
    fail(fmt::format("its tokenizer has {} tokens, not {}", tokenizer.size(), other.size()));
  }
  for (model::TokenId token = 0; static_cast<std::size_t>(token) < tokenizer.size(); ++token) {
    if (tokenizer.piece(token) != other.piece(token)) fail(fmt::format("token {} differs", token));
  }
}

/// Mean squared inputs, [experts, columns]; 0 for experts that no token passed.
std::vector<float> importance_of(const CalibrationStatistics& statistics, const std::string& tensor) {
  const auto found = statistics.find(tensor);
  if (found == statistics.end()) return {};
  const auto& [sums, maxima, counts, row_sums] = found->second;
  const std::size_t columns = sums.size() / counts.size();
  std::vector<float> importance;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const auto count = static_cast<double>(std::max<std::uint64_t>(counts[i / columns], 1));
    importance.push_back(static_cast<float>(sums[i] / count));
  }
  return importance;
}

ElementType stored_type(const Side& side, const std::string& tensor) {
  const auto& weights = side.stored;
  return weights.tensors()[*weights.find(tensor)].type;
}

/// Errors of the matrices of a layer, or of those outside of all layers.
std::vector<TensorError> compare_tensors(const Side& original, const Side& quantized,
                                         std::optional<std::uint32_t> layer,
                                         const CalibrationStatistics& statistics, int threads) {
  std::vector<TensorError> errors;
  const auto& weights = quantized.floats;
  for (std::size_t i = 0; i < weights.tensors().size(); ++i) {
    const auto& tensor = weights.tensors()[i];
    if (tensor.shape.size() < 2 || model::place_of(tensor.name).layer != layer) continue;
    errors.push_back(
        stages::compare_tensor(original.floats, weights, i, importance_of(statistics, tensor.name), threads));
    errors.back().original_type = stored_type(original, tensor.name);
    errors.back().quantized_type = stored_type(quantized, tensor.name);
  }
  return errors;
}

void walk(Side& original, Side* quantized, int threads, LayerProgress& progress, const StopFlag& stop,
          Evaluation& evaluation) {
  auto& pass = *original.pass;
  stages::InputStatistics observer(*original.opened.weights, pass.lanes());
  for (std::uint32_t layer = 0; layer < original.config.layers; ++layer) {
    pass.run_layer(pass.loader().layer(layer), layer, quantized != nullptr ? &observer : nullptr, stop,
                   progress.layer(pass.loader(), layer));
    if (quantized == nullptr) continue;
    auto& other = *quantized->pass;
    other.run_layer(other.loader().layer(layer), layer, nullptr, stop, progress.layer(other.loader(), layer));
    CalibrationStatistics statistics;
    observer.collect(statistics);
    evaluation.layers.push_back({layer, compare_tensors(original, *quantized, layer, statistics, threads),
                                 stages::compare_states(pass.states(), other.states(), threads)});
    progress.item_done(fmt::format("layer {}: relative error of the output {:.3e}", layer,
                                   evaluation.layers.back().relative_output_error()));
  }
  if (quantized != nullptr) {
    evaluation.other_tensors = compare_tensors(original, *quantized, std::nullopt, {}, threads);
  }
}

/// Perplexities and divergence: what is left after the layers.
void score(Side& original, Side* quantized, const StopFlag& stop, Evaluation& evaluation) {
  WindowScorer scorer({.windows = evaluation.windows,
                       .context = evaluation.context,
                       .original = original.name,
                       .quantized = quantized != nullptr ? quantized->name : ""});
  stages::score_windows(*original.pass, quantized != nullptr ? quantized->pass.get() : nullptr, stop, scorer);
  evaluation.scored_tokens = scorer.scores().size();
  evaluation.original.perplexity = original_perplexity(scorer.scores());
  if (quantized == nullptr) return;
  evaluation.quantized = quantized->describe();
  evaluation.quantized->perplexity = quantized_perplexity(scorer.scores());
  evaluation.change = prediction_change(scorer.scores());
}

/// Below this the divergence that bf16 adds by itself, about 3e-5 nats, is a tenth of what was found or more.
constexpr double kDoubtfulDivergence = 3e-4;

void warn_of_rounding(kernels::Precision precision, const Evaluation& evaluation,
                      ProgressObserver& progress) {
  if (precision != kernels::Precision::bf16 || !evaluation.change) return;
  const double divergence = evaluation.change->kl_divergence.value;
  if (divergence == 0 || divergence >= kDoubtfulDivergence) return;
  progress.warn(fmt::format(
      "of a KL divergence of {:.6f}, rounding to bf16 is about 0.00003; --precision f32 is without it",
      divergence));
}

}  // namespace

Evaluation evaluate(const EvaluationSubject& model, const EvaluationSubject* other,
                    const EvaluateSettings& settings, ProgressObserver& progress, const StopFlag& stop) {
  check(settings, other != nullptr);
  Side original(model);
  std::optional<Side> quantized;
  const auto tokenizer = model::make_tokenizer(original.opened.metadata, original.name);
  if (other != nullptr) {
    quantized.emplace(*other);
    require_same_model(original, *quantized, *tokenizer,
                       *model::make_tokenizer(quantized->opened.metadata, quantized->name));
  }
  const auto windows = model::read_windows(settings.corpus, *tokenizer, progress);
  const model::TokenBatch batch{windows.tokens, windows.context};
  const model::ForwardSettings forward{kernels::resolve_precision(settings.precision), settings.threads,
                                       settings.memory_bytes, settings.scratch_folder};
  original.start(batch, forward);
  if (quantized) quantized->start(batch, forward);

  Evaluation evaluation;
  evaluation.datasets = windows.datasets;
  evaluation.context = windows.context;
  evaluation.windows = windows.windows();
  evaluation.original = original.describe();
  LayerProgress layer_progress("evaluating", progress);
  layer_progress.add(original.pass->loader(), original.config.layers);
  if (quantized) layer_progress.add(quantized->pass->loader(), quantized->config.layers);
  layer_progress.begin();
  walk(original, quantized ? &*quantized : nullptr, settings.threads, layer_progress, stop, evaluation);
  score(original, quantized ? &*quantized : nullptr, stop, evaluation);
  layer_progress.end();
  warn_of_rounding(forward.precision, evaluation, progress);
  if (settings.coherence) {
    // The walks' hidden states make room for decoded weights.
    original.pass.reset();
    quantized->pass.reset();
    evaluation.coherence =
        measure_coherence(original.opened, quantized->opened, *settings.coherence, progress, stop);
  }
  return evaluation;
}

Evaluation evaluate(const EvaluateSettings& settings, ProgressObserver& progress, const StopFlag& stop) {
  if (!settings.quantized) {
    const RestoredModel only(settings.model, settings.sidecar, settings, progress, stop);
    return evaluate(only.subject(), nullptr, settings, progress, stop);
  }
  const RestoredModel original(settings.model, std::nullopt, settings, progress, stop);
  const RestoredModel quantized(*settings.quantized, settings.sidecar, settings, progress, stop);
  const auto other = quantized.subject();
  return evaluate(original.subject(), &other, settings, progress, stop);
}

model::OpenedModel open_for_evaluation(const std::filesystem::path& path, model::OpenSettings settings) {
  settings.int8_linears = model::Int8Linears::kept;
  return model::open_model(path, settings);
}

}  // namespace tessera::pipeline
