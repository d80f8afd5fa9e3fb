#include "pipeline/ablate_super_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>

#include "foundation/base/counter_random.h"
#include "foundation/base/error.h"
#include "foundation/base/temporary_folder.h"
#include "model/architecture/kept_tensors.h"
#include "pipeline/evaluate.h"
#include "pipeline/quantize.h"
#include "stages/coverage_scan.h"
#include "stages/edited_weights.h"

namespace tessera::pipeline {
namespace {

using stages::WeightEdit;

/// Tensor, row, column.
using Place = std::tuple<std::size_t, std::uint64_t, std::uint64_t>;

constexpr std::uint64_t kManyTimes = 10;

class Ablater {
 public:
  Ablater(const TextWalkJob& job, const AblationSettings& settings, ProgressObserver& progress,
          const StopFlag& stop)
      : job_(job), settings_(settings), progress_(progress), stop_(stop), source_(*job.model.weights) {
    for (std::size_t i = 0; i < source_.tensors().size(); ++i) {
      if (model::may_be_quantized(source_.tensors()[i])) matrices_.push_back(i);
    }
  }

  Ablation run(const SuperWeightList& list) {
    const TemporaryFolder folder;
    const auto low = make_low_bit(folder.path() / "low-bit.gguf");
    evaluate_variant(settings_.type, *low.weights, {});
    for (const auto notion : {SuperWeightNotion::coverage, SuperWeightNotion::activation_spike}) {
      std::vector<SuperWeight> found;
      std::ranges::copy_if(list.weights, std::back_inserter(found),
                           [notion](const SuperWeight& weight) { return weight.notion == notion; });
      if (!found.empty()) run_notion(name_of(notion), found, *low.weights);
    }
    return std::move(ablation_);
  }

 private:
  void run_notion(std::string_view notion, const std::vector<SuperWeight>& found, const WeightSource& low) {
    std::set<Place> places;
    std::vector<WeightEdit> exact;
    for (const auto& weight : found) {
      places.emplace(source_.find(weight.tensor).value(), weight.row, weight.column);
      exact.push_back({low.find(weight.tensor).value(), weight.row, weight.column, weight.value});
    }
    const std::uint64_t count = places.size();
    evaluate_variant(fmt::format("{}: found set to 0", notion), source_,
                     zeros({places.begin(), places.end()}));
    evaluate_variant(fmt::format("{}: as many random set to 0", notion), source_,
                     zeros(random(count, places)));
    evaluate_variant(fmt::format("{}: {} times as many random set to 0", notion, kManyTimes), source_,
                     zeros(random(kManyTimes * count, places)));
    evaluate_variant(fmt::format("{}: as many of the largest set to 0", notion), source_,
                     zeros(largest(count, places)));
    evaluate_variant(fmt::format("{}: {} with the found exact", notion, settings_.type), low,
                     std::move(exact));
  }

  static std::vector<WeightEdit> zeros(const std::vector<Place>& places) {
    std::vector<WeightEdit> edits;
    for (const auto& [tensor, row, column] : places) edits.push_back({tensor, row, column, 0});
    return edits;
  }

  std::uint64_t weights_of_matrices() const {
    std::uint64_t total = 0;
    for (const std::size_t matrix : matrices_) total += source_.tensors()[matrix].weights();
    return total;
  }

  Place place_of(std::uint64_t index) const {
    for (const std::size_t matrix : matrices_) {
      const auto& tensor = source_.tensors()[matrix];
      if (index < tensor.weights()) return {matrix, index / tensor.columns(), index % tensor.columns()};
      index -= tensor.weights();
    }
    throw UsageError("more weights were asked for than the model has");
  }

  /// Fewer where the model has no more.
  std::vector<Place> random(std::uint64_t count, std::set<Place> taken) const {
    const std::uint64_t total = weights_of_matrices();
    count = std::min(count, total - taken.size());
    std::vector<Place> places;
    for (std::uint64_t draw = 0; places.size() < count; ++draw) {
      const double at = uniform_at(settings_.seed, draw, 0) * static_cast<double>(total);
      const Place place = place_of(std::min(static_cast<std::uint64_t>(at), total - 1));
      if (taken.insert(place).second) places.push_back(place);
    }
    return places;
  }

  std::vector<Place> largest(std::uint64_t count, const std::set<Place>& taken) const {
    stages::CoverageJob scan{source_, {}};
    for (const std::size_t matrix : matrices_) scan.tensors.push_back({.tensor = matrix});
    const double share =
        (static_cast<double>(count + taken.size()) + 0.5) / static_cast<double>(weights_of_matrices());
    const stages::CoverageSettings coverage{
        .coverage = std::min(share, stages::kMostCoverage), .cut_at_fence = false, .threads = job_.threads};
    std::vector<Place> places;
    for (const auto& weight : stages::scan_coverage(scan, coverage, progress_, stop_).weights) {
      const Place place{source_.find(weight.tensor).value(), weight.row, weight.column};
      if (places.size() < count && !taken.contains(place)) places.push_back(place);
    }
    return places;
  }

  model::OpenedModel make_low_bit(const std::filesystem::path& output) const {
    QuantizeSettings settings;
    settings.model = job_.path;
    settings.output = output;
    settings.type = settings_.type;
    settings.imatrix = settings_.imatrix;
    settings.open = job_.open;
    settings.walks = job_.settings;
    settings.walks.checkpoint = std::nullopt;
    settings.allow_requantize = true;
    settings.encode.threads = job_.threads;
    quantize(settings, progress_, stop_);
    return model::open_model(output, job_.open);
  }

  void evaluate_variant(const std::string& variant, const WeightSource& base, std::vector<WeightEdit> edits) {
    const std::uint64_t count = edits.size();
    EvaluateSettings evaluation;
    evaluation.model = job_.path;
    evaluation.corpus = settings_.evaluation;
    evaluation.open = job_.open;
    evaluation.precision = job_.settings.precision;
    evaluation.threads = job_.threads;
    evaluation.memory_bytes = job_.settings.memory_bytes;
    evaluation.scratch_folder = job_.settings.scratch_folder;
    const model::OpenedModel edited{std::make_unique<stages::EditedWeights>(base, std::move(edits)),
                                    job_.model.metadata, job_.model.attention_windows};
    const EvaluationSubject original{job_.path.string(), job_.model};
    const EvaluationSubject subject{variant, edited};
    const auto result = evaluate(original, &subject, evaluation, progress_, stop_);
    ablation_.perplexity = result.original.perplexity;
    ablation_.variants.push_back(
        {variant, count, result.quantized->perplexity, result.change->kl_divergence});
  }

  const TextWalkJob& job_;
  const AblationSettings& settings_;
  ProgressObserver& progress_;
  const StopFlag& stop_;
  const WeightSource& source_;
  std::vector<std::size_t> matrices_;  ///< that may be quantized
  Ablation ablation_;
};

}  // namespace

Ablation ablate_super_weights(const TextWalkJob& job, const SuperWeightList& list,
                              const AblationSettings& settings, ProgressObserver& progress,
                              const StopFlag& stop) {
  if (settings.evaluation.files.empty()) {
    throw UsageError("--ablate evaluates the model: give a text with --evaluate FILE, or with -f FILE");
  }
  if (list.weights.empty()) throw UsageError("no super weights were found, so there is nothing to ablate");
  return Ablater(job, settings, progress, stop).run(list);
}

nlohmann::json to_json(const Ablation& ablation) {
  auto variants = nlohmann::json::array();
  for (const auto& variant : ablation.variants) {
    variants.push_back({{"variant", variant.variant},
                        {"weights", variant.weights},
                        {"perplexity", variant.perplexity.value},
                        {"perplexity_ratio", variant.perplexity.value / ablation.perplexity.value},
                        {"kl_divergence", variant.kl_divergence.value}});
  }
  return {{"perplexity", ablation.perplexity.value}, {"variants", std::move(variants)}};
}

}  // namespace tessera::pipeline
