// Quantizing the demo model with super weights protected, from a list.
#include "pipeline/protection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifacts/sidecar.h"
#include "artifacts/super_weight_list.h"
#include "foundation/base/error.h"
#include "foundation/codecs/decode_finite.h"
#include "pipeline/dynamic_run.h"
#include "pipeline/evaluate.h"
#include "pipeline/inspect.h"
#include "pipeline/run_report.h"

namespace tessera::pipeline {
namespace {

using tessera::testing::DynamicRun;
using tessera::testing::kDemoModel;
using tessera::testing::read_whole;
using tessera::testing::short_corpus;
using tessera::testing::StopInStage;
using tessera::testing::write_whole;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kDown = "blk.1.ffn_down.weight";
constexpr const char* kQuery = "blk.2.attn_q.weight";

class Protect : public DynamicRun {
 protected:
  Protect() : model_(model::open_model(kDemoModel)) {
    add(kDown, 3, 100);
    add(kDown, 3, 101);
    add(kDown, 200, 700);
    add(kQuery, 17, 5);
    write_list();
  }

  void add(const std::string& tensor, std::uint64_t row, std::uint64_t column) {
    const auto number = model_.weights->find(tensor).value();
    SuperWeight weight;
    weight.tensor = tensor;
    weight.row = row;
    weight.column = column;
    weight.value = value_in(*model_.weights, number, row, column);
    weight.score = 10;
    weight.notion = SuperWeightNotion::activation_spike;
    list_.weights.push_back(weight);
  }
  static float value_in(const WeightSource& source, std::size_t tensor, std::uint64_t row,
                        std::uint64_t column) {
    std::vector<std::byte> scratch;
    std::vector<float> decoded(source.tensors()[tensor].columns());
    codecs::decode_finite(source, tensor, row * decoded.size(), source.stored_rows(tensor, {row, 1}, scratch),
                          decoded);
    return decoded[column];
  }
  void write_list() const { write_whole(folder_ / "list.json", to_json(list_).dump()); }

  QuantizeSettings uniform(std::optional<ProtectionMethod> method) const {
    QuantizeSettings settings;
    settings.model = kDemoModel;
    settings.output = folder_ / "out.gguf";
    settings.type = "Q2_K";
    settings.pure = true;
    settings.encode.threads = 2;
    if (method) protect(settings, *method);
    return settings;
  }
  void protect(QuantizeSettings& settings, ProtectionMethod method) const {
    settings.protection.emplace();
    settings.protection->method = method;
    settings.protection->list = folder_ / "list.json";
    settings.protection->sidecar.max_bits_per_weight = 0.1;
  }

  /// Names of the tensors whose type or bytes differ between two files.
  static std::vector<std::string> changed(const std::filesystem::path& before,
                                          const std::filesystem::path& after) {
    const auto old = tensors_in(before);
    std::vector<std::string> names;
    for (const auto& [name, content] : tensors_in(after))
      if (content != old.at(name)) names.push_back(name);
    return names;
  }
  /// Sum of squared errors of the listed weights.
  double error_of_list(const std::filesystem::path& file) const {
    const auto quantized = model::open_model(file);
    double error = 0;
    for (const auto& weight : list_.weights) {
      const auto tensor = quantized.weights->find(weight.tensor).value();
      const double difference =
          double{weight.value} - double{value_in(*quantized.weights, tensor, weight.row, weight.column)};
      error += difference * difference;
    }
    return error;
  }

  EvaluateSettings evaluation(const std::filesystem::path& quantized,
                              const std::optional<std::filesystem::path>& sidecar) const {
    EvaluateSettings settings;
    settings.model = kDemoModel;
    settings.quantized = quantized;
    settings.sidecar = sidecar;
    settings.corpus = short_corpus(4);
    settings.precision = kernels::Precision::f32;
    return settings;
  }

  model::OpenedModel model_;
  SuperWeightList list_;
};

TEST_F(Protect, BlocksChangesOnlyTensorsWithSuperWeightsAndBringsThoseCloser) {
  auto plain = uniform(std::nullopt);
  plain.output = folder_ / "plain.gguf";
  run(plain);
  const auto settings = uniform(ProtectionMethod::block);
  const auto report = run(settings);
  EXPECT_THAT(changed(plain.output, settings.output), Each(AnyOf(kDown, kQuery)));
  EXPECT_LE(error_of_list(settings.output), error_of_list(plain.output));
  const auto& coverage = report.super_weights.value();
  EXPECT_EQ(coverage.found, 4u);
  EXPECT_EQ(coverage.in_blocks, 4u);
  EXPECT_EQ(coverage.protected_places(), 4u);
  EXPECT_TRUE(coverage.relative_error.has_value());
}

TEST_F(Protect, EveryThreadCountGivesTheSameBytes) {
  for (const auto method : {ProtectionMethod::block, ProtectionMethod::sidecar}) {
    auto settings = uniform(method);
    settings.encode.threads = 1;
    settings.encode.chunk_weights = 1u << 14;
    const auto expected = bytes_of(settings);
    settings.encode.threads = 3;
    settings.encode.chunk_weights = 1u << 16;
    EXPECT_EQ(bytes_of(settings), expected);
  }
}

TEST_F(Protect, TensorPromotesThoseThatHoldThem) {
  auto settings = uniform(ProtectionMethod::tensor);
  settings.protection->promotion.mass = 1;
  settings.protection->promotion.weights = 1;
  const auto report = run(settings);
  const auto tensors = tensors_in(settings.output);
  EXPECT_EQ(tensors.at(kDown).first, ElementType::Q8_0);
  EXPECT_EQ(tensors.at(kQuery).first, ElementType::Q8_0);
  EXPECT_EQ(tensors.at("blk.0.ffn_down.weight").first, ElementType::Q2_K);
  EXPECT_THAT(report.super_weights->promoted_tensors, ElementsAre(kDown, kQuery));
  EXPECT_EQ(report.super_weights->promoted, 4u);
}

TEST_F(Protect, TensorPaysFromTheSizeOfADynamicPlan) {
  auto settings = this->settings({SizeTarget::Kind::file_bytes, 2.2e6});
  protect(settings, ProtectionMethod::tensor);
  settings.protection->promotion.mass = 1;
  settings.protection->promotion.weights = 1;
  run(settings);
  const auto tensors = tensors_in(settings.output);
  EXPECT_EQ(tensors.at(kDown).first, ElementType::Q8_0);
  EXPECT_EQ(tensors.at(kQuery).first, ElementType::Q8_0);
  EXPECT_LE(std::filesystem::file_size(settings.output), 2'200'000u);
}

TEST_F(Protect, SidecarCountsIntoTheSizeOfADynamicPlan) {
  auto settings = this->settings({SizeTarget::Kind::file_bytes, 2.2e6});
  protect(settings, ProtectionMethod::sidecar);
  const auto report = run(settings);
  const auto sidecar = std::filesystem::file_size(folder_ / "out.sidecar.gguf");
  EXPECT_EQ(sidecar, report.super_weights->sidecar_bytes);
  EXPECT_LE(std::filesystem::file_size(settings.output) + sidecar, 2'200'000u);
}

TEST_F(Protect, SidecarRestoresTheExactValuesInEvaluations) {
  const auto settings = uniform(ProtectionMethod::sidecar);
  const auto report = run(settings);
  EXPECT_EQ(report.super_weights->restored, 4u);
  EXPECT_EQ(report.super_weights->relative_error, 0.0);
  const auto sidecar = read_sidecar(folder_ / "out.sidecar.gguf");
  EXPECT_EQ(sidecar.weights(), 4u);
  EXPECT_EQ(sidecar.architecture, "llama");
  const auto without = evaluate(evaluation(settings.output, std::nullopt), recorder_, never_);
  const auto with = evaluate(evaluation(settings.output, folder_ / "out.sidecar.gguf"), recorder_, never_);
  EXPECT_NE(with.change->kl_divergence.value, without.change->kl_divergence.value);
  EXPECT_EQ(with.quantized->size.tensor_bytes, without.quantized->size.tensor_bytes);
  EXPECT_EQ(with.quantized->size.file_bytes,
            without.quantized->size.file_bytes + report.super_weights->sidecar_bytes);
}

TEST_F(Protect, SidecarOfAnotherModelIsRefusedByItsHash) {
  const auto settings = uniform(ProtectionMethod::sidecar);
  run(settings);
  auto plain = uniform(std::nullopt);
  plain.output = folder_ / "plain.gguf";
  run(plain);
  try {
    evaluate(evaluation(plain.output, folder_ / "out.sidecar.gguf"), recorder_, never_);
    ADD_FAILURE() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("out.sidecar.gguf"));
    EXPECT_THAT(error.what(), HasSubstr("hash"));
  }
}

TEST_F(Protect, SidecarOfAnotherShapeIsRefusedByItsTensor) {
  run(uniform(ProtectionMethod::sidecar));
  auto sidecar = read_sidecar(folder_ / "out.sidecar.gguf");
  const auto refusal = [&] {
    write_sidecar(sidecar, folder_ / "other.gguf");
    try {
      evaluate(evaluation(folder_ / "out.gguf", folder_ / "other.gguf"), recorder_, never_);
    } catch (const BadFileError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  sidecar.tensors.back().rows += 1;
  EXPECT_THAT(refusal(), ::testing::AllOf(HasSubstr(kQuery), HasSubstr("257 rows of 256 columns")));
  sidecar.tensors.back().name = "blk.9.attn_q.weight";
  EXPECT_THAT(refusal(), HasSubstr("no such tensor"));
}

TEST_F(Protect, AListOfAnotherModelIsRefused) {
  list_.weights.front().value += 1;
  write_list();
  EXPECT_THROW(run(uniform(ProtectionMethod::block)), BadFileError);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.gguf"));
}

TEST_F(Protect, WhereNothingCanBeRestoredTheOutputIsThatWithoutProtection) {
  const auto plain = bytes_of(uniform(std::nullopt));
  list_.weights.clear();
  add("token_embd.weight", 7, 7);
  write_list();
  const auto report = run(uniform(ProtectionMethod::sidecar));
  EXPECT_THAT(recorder_.warnings, ::testing::Contains(HasSubstr("worth its bytes")));
  EXPECT_THAT(folder_.names(), ::testing::Not(::testing::Contains("out.sidecar.gguf")));
  EXPECT_EQ(report.super_weights->protected_places(), 0u);
  EXPECT_TRUE(read_whole(folder_ / "out.gguf") == plain);
}

TEST_F(Protect, ErrorFeedbackTakesPromotedTensorsAlone) {
  auto settings = uniform(ProtectionMethod::block);
  settings.feedback.emplace();
  settings.walks.corpus = short_corpus(2);
  EXPECT_THROW(run(settings), UsageError);
}

TEST_F(Protect, AnotherProtectionDoesNotGoOnWithAnInterruptedRun) {
  auto plain = uniform(std::nullopt);
  const auto expected = bytes_of(plain);
  std::filesystem::remove(plain.output);
  auto interrupted = uniform(ProtectionMethod::sidecar);
  interrupted.encode.threads = 1;
  interrupted.checkpoints.interval = std::chrono::milliseconds(0);
  StopInStage stop("quantize", 20);
  EXPECT_THROW(quantize(interrupted, stop, stop.stop), InterruptedError);
  EXPECT_EQ(bytes_of(plain), expected);
}

TEST_F(Protect, AnInterruptedRunGoesOnToTheSameBytes) {
  auto settings = uniform(ProtectionMethod::sidecar);
  const auto expected = bytes_of(settings);
  const auto sidecar = read_whole(folder_ / "out.sidecar.gguf");
  std::filesystem::remove(settings.output);
  std::filesystem::remove(folder_ / "out.sidecar.gguf");
  settings.encode.threads = 1;
  settings.checkpoints.interval = std::chrono::milliseconds(0);
  StopInStage stop("quantize", 20);
  EXPECT_THROW(quantize(settings, stop, stop.stop), InterruptedError);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.sidecar.gguf"));
  EXPECT_EQ(bytes_of(settings), expected);
  EXPECT_EQ(read_whole(folder_ / "out.sidecar.gguf"), sidecar);
}

TEST_F(Protect, TheOutputAndTheReportSayWhatIsProtected) {
  auto settings = uniform(ProtectionMethod::sidecar);
  settings.evaluation = short_corpus(2);
  const auto report = to_json(run(settings));
  EXPECT_EQ(report.at("evaluation").at("super_weight_coverage"), 1.0);
  const auto& coverage = report.at("super_weight_coverage");
  EXPECT_EQ(coverage.at("method"), "sidecar");
  EXPECT_EQ(coverage.at("found"), 4);
  EXPECT_EQ(coverage.at("protected"), 4);
  EXPECT_EQ(coverage.at("sidecar").at("path"), (folder_ / "out.sidecar.gguf").string());
  const auto text = inspect(settings.output).metadata.text("tessera.super_weights").value();
  const auto said = nlohmann::json::parse(text);
  EXPECT_EQ(said.at("tensors").at(kDown), 3);
  EXPECT_EQ(said.at("sidecar"), "out.sidecar.gguf");
}

}  // namespace
}  // namespace tessera::pipeline
