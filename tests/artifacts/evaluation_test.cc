// The report, and that docs/evaluation-report.schema.json describes it.
#include "artifacts/evaluation.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "artifacts/schema_complaints.h"

namespace tessera {
namespace {

using nlohmann::json;

TensorError tensor(const std::string& name, bool with_importance) {
  return {.name = name,
          .original_type = ElementType::F16,
          .quantized_type = ElementType::Q4_K,
          .weights = 8,
          .error = {.sums = {.error = 2, .energy = 16, .weighted_error = 3, .weighted_energy = 12},
                    .has_importance = with_importance},
          .importance_total = 6};
}

Evaluation original_alone() {
  return {.datasets = {"wiki.txt", "books.txt"},
          .context = 512,
          .windows = 3,
          .scored_tokens = 765,
          .original = {.path = "m.gguf",
                       .size = {.weights = 1000, .tensor_bytes = 2000, .file_bytes = 2500},
                       .perplexity = {20, 0.5}},
          .quantized = {},
          .change = {},
          .layers = {},
          .other_tensors = {},
          .coherence = std::nullopt};
}

Coherence two_texts() {
  const CoherenceText text{
      .text = "and so on",
      .ended = true,
      .figures = {.tokens = 3, .repetition = 0, .longest_loop = 0, .distinct = {1, 1, 1}},
      .log_likelihood = -6,
      .scored_tokens = 4};
  return {
      .new_tokens = 8,
      .temperature = 0.8,
      .top_k = 40,
      .top_p = 0.95,
      .seed = 1,
      .pairs = {{"One", DecodingMethod::greedy, text, text}, {"One", DecodingMethod::sampled, text, text}}};
}

Evaluation both_models() {
  Evaluation evaluation = original_alone();
  evaluation.quantized = {.path = "q.gguf",
                          .size = {.weights = 1000, .tensor_bytes = 500, .file_bytes = 900},
                          .perplexity = {22, 0.6}};
  evaluation.change = {.perplexity_delta_pct = 10,
                       .perplexity_log_ratio = {0.0953, 0.001},
                       .log_probability_correlation = 0.99,
                       .kl_divergence = {0.02, 0.0002},
                       .kl_quantiles = {0.01, 0.05, 0.07, 0.2, 0.5, 1.5},
                       .kl_histogram = {{0.01, 400}, {0.1, 365}},
                       .top_1_agreement_pct = {91, 0.3},
                       .probability_change_mean_pct = {-0.4, 0.05},
                       .probability_change_rms_pct = {3, 0.1}};
  evaluation.layers = {{.layer = 0,
                        .tensors = {tensor("blk.0.attn_q.weight", true)},
                        .output = {.error = 1, .energy = 50, .weighted_error = 0, .weighted_energy = 0}}};
  evaluation.other_tensors = {tensor("token_embd.weight", false)};
  evaluation.coherence = two_texts();
  return evaluation;
}

std::string complaints(const json& report) {
  return testing::schema_complaints("evaluation-report.schema.json", report);
}

TEST(EvaluationReport, SaysWhatChanged) {
  const json report = to_json(both_models());
  EXPECT_EQ(report["perplexity_original"], 20);
  EXPECT_EQ(report["perplexity_quantized"], 22);
  EXPECT_EQ(report["perplexity_quantized_error"], 0.6);
  EXPECT_EQ(report["perplexity_delta_pct"], 10);
  EXPECT_EQ(report["kl_divergence_mean"], 0.02);
  EXPECT_EQ(report["kl_divergence_p99_9"], 0.5);
  EXPECT_EQ(report["kl_divergence_histogram"],
            json::parse(R"([{"upper": 0.01, "tokens": 400}, {"upper": 0.1, "tokens": 365}])"));
  EXPECT_EQ(report["effective_bits_per_weight"], 4);
  EXPECT_EQ(report["bits_per_weight_original"], 16);
  EXPECT_EQ(report["file_bytes_quantized"], 900);
  EXPECT_TRUE(report["super_weight_coverage"].is_null());
  EXPECT_EQ(report["coherence"]["verdict"], "coherent");
  const json& layer = report["layer_errors"][0];
  EXPECT_EQ(layer["layer"], 0);
  EXPECT_EQ(layer["output_relative_error"], 0.02);
  EXPECT_EQ(layer["tensors"][0]["type_quantized"], "Q4_K");
  EXPECT_EQ(layer["tensors"][0]["mean_squared_error"], 0.25);
  EXPECT_EQ(layer["tensors"][0]["relative_error"], 0.125);
  EXPECT_EQ(layer["tensors"][0]["weighted_mean_squared_error"], 0.5);
  EXPECT_EQ(layer["tensors"][0]["weighted_relative_error"], 0.25);
  EXPECT_TRUE(report["other_tensor_errors"][0]["weighted_mean_squared_error"].is_null());
}

TEST(EvaluationReport, OriginalAloneLeavesTheComparisonEmpty) {
  const json report = to_json(original_alone());
  EXPECT_EQ(report["perplexity_original"], 20);
  EXPECT_EQ(report["effective_bits_per_weight"], 16);
  EXPECT_TRUE(report["perplexity_quantized"].is_null());
  EXPECT_TRUE(report["perplexity_delta_pct"].is_null());
  EXPECT_TRUE(report["kl_divergence_mean"].is_null());
  EXPECT_TRUE(report["kl_divergence_histogram"].is_null());
  EXPECT_TRUE(report["model_quantized"].is_null());
  EXPECT_TRUE(report["layer_errors"].empty());
}

TEST(EvaluationReport, FollowsItsSchema) {
  EXPECT_EQ(complaints(to_json(both_models())), "");
  EXPECT_EQ(complaints(to_json(original_alone())), "");
  Evaluation broken = both_models();
  broken.quantized->perplexity = {std::numeric_limits<double>::infinity(),
                                  std::numeric_limits<double>::infinity()};
  EXPECT_EQ(complaints(to_json(broken)), "");
}

TEST(EvaluationReport, SchemaRefusesWhatIsNotAsDescribed) {
  const json good = to_json(both_models());
  for (const auto& [name, value] : good.items()) {
    json without = good;
    without.erase(name);
    EXPECT_NE(complaints(without), "") << name;
    json mistyped = good;
    mistyped[name] = true;
    EXPECT_NE(complaints(mistyped), "") << name;
  }
  json unknown = good;
  unknown["perplexity_of_both"] = 1;
  EXPECT_NE(complaints(unknown), "");
  json deeper = good;
  deeper["layer_errors"][0]["tensors"][0].erase("relative_error");
  EXPECT_NE(complaints(deeper), "");
}

}  // namespace
}  // namespace tessera
