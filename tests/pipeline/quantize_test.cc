#include "pipeline/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "foundation/base/error.h"
#include "foundation/formats/gguf/gguf_file.h"
#include "pipeline/run_report.h"
#include "pipeline/small_model.h"

namespace tessera::pipeline {
namespace {

using tessera::testing::importance_for;
using tessera::testing::read_whole;
using tessera::testing::ScratchFolder;
using tessera::testing::SmallModel;
using tessera::testing::write_model;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Remembers what a run says.
class Recorder final : public ProgressObserver {
 public:
  void begin(std::string_view, std::uint64_t total_bytes) override { total = total_bytes; }
  void advance(std::uint64_t done_bytes) override { done.push_back(done_bytes); }
  void item_done(std::string_view line) override { items.emplace_back(line); }
  void end() override { ended = true; }
  void note(std::string_view message) override { notes.emplace_back(message); }
  void warn(std::string_view message) override { warnings.emplace_back(message); }

  std::uint64_t total = 0;
  std::vector<std::uint64_t> done;
  std::vector<std::string> items;
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
  bool ended = false;
};

class QuantizePipeline : public ::testing::Test {
 protected:
  QuantizeSettings settings(const std::string& type) const {
    QuantizeSettings result;
    result.model = folder_ / "model.gguf";
    result.output = folder_ / "out.gguf";
    result.type = type;
    return result;
  }

  QuantizeReport run(const QuantizeSettings& settings) { return quantize(settings, recorder_, stop_); }

  std::filesystem::path write_importance(const SmallModel& model, int unseen_expert = -1) const {
    const auto path = folder_ / "im.gguf";
    imatrix::write_imatrix_gguf(path, importance_for(model, unseen_expert));
    return path;
  }

  ScratchFolder folder_;
  Recorder recorder_;
  StopFlag stop_;
};

std::vector<std::byte> stored_bytes(const WeightSource& source, const std::string& name) {
  const auto tensor = source.find(name).value();
  std::vector<std::byte> scratch;
  const auto rows = source.stored_rows(tensor, {0, source.tensors()[tensor].rows()}, scratch);
  return {rows.begin(), rows.end()};
}

TEST_F(QuantizePipeline, EveryThreadCountAndChunkSizeGivesTheSameBytesAndErrors) {
  write_model(folder_ / "model.gguf", {.layers = 3, .rows = 100});
  auto first = settings("Q8_0");
  first.imatrix = write_importance({.layers = 3, .rows = 100});
  first.encode.threads = 1;
  const auto expected = run(first);
  const auto bytes = read_whole(first.output);
  for (const int threads : {2, 5}) {
    auto again = first;
    again.encode.threads = threads;
    const auto report = run(again);
    EXPECT_EQ(read_whole(again.output), bytes);
    for (std::size_t i = 0; i < report.errors.size(); ++i)
      EXPECT_EQ(report.errors[i].sums, expected.errors[i].sums);
  }
  for (const std::uint64_t chunk_weights : {1u, 5000u, 1u << 24}) {
    auto again = first;
    again.encode.chunk_weights = chunk_weights;
    run(again);
    EXPECT_EQ(read_whole(again.output), bytes) << chunk_weights;
  }
}

TEST_F(QuantizePipeline, CopiedTensorsKeepTheirBytes) {
  write_model(folder_ / "model.gguf");
  auto same = settings("F16");
  const auto report = run(same);
  const auto input = gguf::open_gguf(same.model);
  const auto output = gguf::open_gguf(same.output);
  for (const auto& tensor : input->tensors()) {
    EXPECT_EQ(stored_bytes(*input, tensor.name), stored_bytes(*output, tensor.name)) << tensor.name;
  }
  for (const auto& error : report.errors) EXPECT_EQ(error.sums.error, 0);
}

TEST_F(QuantizePipeline, EncodedTensorsAreWhatTheCodecMakesOfThem) {
  write_model(folder_ / "model.gguf", {.type = ElementType::F32});
  const auto to_q8 = settings("Q8_0");
  const auto report = run(to_q8);
  const auto input = gguf::open_gguf(to_q8.model);
  const auto output = gguf::open_gguf(to_q8.output);
  for (std::size_t i = 0; i < report.plan.tensors.size(); ++i) {
    const auto& planned = report.plan.tensors[i];
    if (planned.is_copied()) continue;
    const auto raw = stored_bytes(*input, planned.source.name);
    std::vector<float> weights(planned.source.weights());
    std::memcpy(weights.data(), raw.data(), raw.size());
    std::vector<std::byte> expected(planned.output().bytes());
    codecs::codec_for(planned.target).encode({weights, planned.source.columns(), {}}, expected);
    EXPECT_EQ(stored_bytes(*output, planned.source.name), expected) << planned.source.name;
    EXPECT_GT(report.errors[i].relative(), 0);
    EXPECT_LT(report.errors[i].relative(), 1e-3);
  }
}

TEST_F(QuantizePipeline, EachExpertIsEncodedUnderItsOwnImportance) {
  const SmallModel model{.layers = 1, .experts = 4};
  write_model(folder_ / "model.gguf", model);
  auto with = settings("Q4_0");
  with.pure = true;
  with.imatrix = write_importance(model);
  run(with);
  const auto input = gguf::open_gguf(with.model);
  const auto output = gguf::open_gguf(with.output);
  const auto matrix = imatrix::read_imatrix(*with.imatrix);
  const std::string name = "blk.0.ffn_down_exps.weight";
  const auto raw = stored_bytes(*input, name);
  const auto encoded = stored_bytes(*output, name);
  std::vector<float> weights(raw.size() / 2);
  codecs::codec_for(ElementType::F16).decode(raw, weights);
  const std::size_t expert_weights = weights.size() / 4;
  const std::size_t expert_bytes = encoded.size() / 4;
  for (std::size_t expert = 0; expert < 4; ++expert) {
    const auto importance = matrix.entries.at(name).importance(expert);
    std::vector<std::byte> expected(expert_bytes);
    codecs::codec_for(ElementType::Q4_0)
        .encode({std::span(weights).subspan(expert * expert_weights, expert_weights), 256, importance},
                expected);
    EXPECT_TRUE(std::ranges::equal(expected, std::span(encoded).subspan(expert * expert_bytes, expert_bytes)))
        << "expert " << expert;
  }
}

TEST_F(QuantizePipeline, ExpertsNeverSeenAreListed) {
  const SmallModel model{.layers = 1, .experts = 4};
  write_model(folder_ / "model.gguf", model);
  auto with = settings("Q8_0");
  with.imatrix = write_importance(model, 2);
  const auto report = run(with);
  EXPECT_THAT(recorder_.warnings,
              Contains(HasSubstr("blk.0.ffn_down_exps.weight: calibration never reached expert 2")));
  const auto json = to_json(report);
  int listed = 0;
  for (const auto& tensor : json.at("plan").at("tensors")) {
    if (!tensor.contains("unseen_experts")) continue;
    EXPECT_EQ(tensor.at("unseen_experts"), nlohmann::json::array({2}));
    ++listed;
  }
  EXPECT_EQ(listed, 3);
}

TEST_F(QuantizePipeline, MetadataSaysWhereTheFileComesFrom) {
  write_model(folder_ / "model.gguf");
  auto with = settings("Q8_0");
  with.imatrix = write_importance({});
  run(with);
  const auto output = gguf::open_gguf(with.output);
  const auto& metadata = output->metadata();
  EXPECT_EQ(metadata.text("general.name"), "small model");
  EXPECT_EQ(metadata.unsigned_integer("general.file_type"), 7u);
  EXPECT_EQ(metadata.unsigned_integer("general.quantization_version"), 2u);
  EXPECT_EQ(metadata.text("quantize.imatrix.file"), with.imatrix->string());
  EXPECT_EQ(metadata.text("quantize.imatrix.dataset"), "calibration.txt");
  EXPECT_EQ(metadata.unsigned_integer("quantize.imatrix.entries_count"), 14u);
  EXPECT_EQ(metadata.unsigned_integer("quantize.imatrix.chunks_count"), 3u);
  EXPECT_EQ(metadata.text("tessera.version"), TESSERA_VERSION);
  EXPECT_EQ(metadata.text("tessera.source"), "model.gguf");
}

TEST_F(QuantizePipeline, DryRunTellsTheSizeToTheByteAndWritesNothing) {
  write_model(folder_ / "model.gguf");
  auto dry = settings("Q8_0");
  dry.dry_run = true;
  const auto planned = run(dry);
  EXPECT_THAT(folder_.names(), ElementsAre("model.gguf"));
  dry.dry_run = false;
  run(dry);
  ASSERT_EQ(planned.files.size(), 1u);
  EXPECT_EQ(planned.files[0].bytes, std::filesystem::file_size(dry.output));
}

TEST_F(QuantizePipeline, SplitOutputHoldsTheSameTensorsWithinTheSizeLimit) {
  write_model(folder_ / "model.gguf");
  const auto whole = settings("Q8_0");
  run(whole);
  auto split = settings("Q8_0");
  split.output = folder_ / "parts.gguf";
  split.write.split_max_bytes = 60'000;
  const auto report = run(split);
  ASSERT_GT(report.files.size(), 2u);
  for (const auto& file : report.files) {
    EXPECT_EQ(file.bytes, std::filesystem::file_size(file.path));
    EXPECT_LE(file.bytes, 60'000u);
  }
  const auto one = gguf::open_gguf(whole.output);
  const auto many = gguf::open_gguf(report.files[0].path);
  ASSERT_EQ(one->tensors().size(), many->tensors().size());
  for (const auto& tensor : one->tensors()) {
    EXPECT_EQ(stored_bytes(*one, tensor.name), stored_bytes(*many, tensor.name)) << tensor.name;
  }
}

TEST_F(QuantizePipeline, FallbacksAreReported) {
  write_model(folder_ / "model.gguf", {.columns = 96});
  auto dry = settings("Q2_0");
  dry.pure = true;
  const auto report = run(dry);
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("Q4_0 instead of Q2_0")));
  EXPECT_EQ(report.plan.tensors[0].wanted, ElementType::Q2_0);
  EXPECT_EQ(report.plan.tensors[0].target, ElementType::Q4_0);
}

TEST_F(QuantizePipeline, PatternsThatMatchNothingAreReported) {
  write_model(folder_ / "model.gguf");
  auto with = settings("Q8_0");
  with.overrides = {{"attn_v", ElementType::Q4_0}, {"no_such_tensor", ElementType::Q4_0}};
  const auto report = run(with);
  EXPECT_THAT(recorder_.warnings, ElementsAre(HasSubstr("no_such_tensor")));
}

TEST_F(QuantizePipeline, TypesBelowTwoBitsComeWithAWarning) {
  write_model(folder_ / "model.gguf");
  auto tiny = settings("Q1_0");
  tiny.pure = true;
  run(tiny);
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("1.125 bits per weight")));
}

TEST_F(QuantizePipeline, ProgressGrowsToTheTotalAndTensorsComeInOrder) {
  write_model(folder_ / "model.gguf");
  auto threaded = settings("Q8_0");
  threaded.encode.threads = 4;
  threaded.encode.chunk_weights = 4096;
  const auto report = run(threaded);
  EXPECT_TRUE(std::ranges::is_sorted(recorder_.done));
  EXPECT_EQ(recorder_.done.back(), recorder_.total);
  ASSERT_EQ(recorder_.items.size(), report.plan.tensors.size());
  for (std::size_t i = 0; i < recorder_.items.size(); ++i) {
    EXPECT_THAT(recorder_.items[i], ::testing::StartsWith(report.plan.tensors[i].source.name));
  }
  EXPECT_TRUE(recorder_.ended);
}

TEST_F(QuantizePipeline, AStopRequestEndsTheRunAsInterrupted) {
  write_model(folder_ / "model.gguf");
  stop_.request();
  EXPECT_THROW(run(settings("Q8_0")), InterruptedError);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.gguf"));
}

}  // namespace
}  // namespace tessera::pipeline
