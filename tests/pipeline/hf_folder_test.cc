// Hugging Face folders written of folders and of GGUF files, judged by opening them again.
#include "pipeline/hf_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "foundation/base/error.h"
#include "foundation/formats/safetensors/safetensors_source.h"
#include "pipeline/convert.h"
#include "pipeline/demo_model.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

const fs::path kModels = fs::path(TESSERA_TESTDATA) / "convert";

ConvertReport run(const fs::path& model, const fs::path& output,
                  std::optional<ElementType> type = std::nullopt, std::uint64_t shard_max_bytes = 0,
                  int threads = 2) {
  SilentProgress progress;
  const StopFlag stop;
  return convert({.model = model,
                  .output = output,
                  .type = type,
                  .shard_max_bytes = shard_max_bytes,
                  .encode = {.threads = threads}},
                 progress, stop);
}

json::Value config_of(const fs::path& folder) {
  return json::Value::parse(testing::read_whole(folder / "config.json"));
}

struct RoundTrip {
  std::string name;
  ElementType type;
};

void PrintTo(const RoundTrip& value, std::ostream* out) { *out << value.name; }

class FolderAndBack : public ::testing::TestWithParam<RoundTrip> {};

TEST_P(FolderAndBack, GivesTheSameGgufFile) {
  testing::ScratchFolder scratch;
  run(kModels / GetParam().name, scratch / "first.gguf", GetParam().type);
  run(scratch / "first.gguf", scratch / "folder");
  run(scratch / "folder", scratch / "second.gguf", GetParam().type);
  const std::string first = testing::read_whole(scratch / "first.gguf");
  ASSERT_FALSE(first.empty());
  EXPECT_TRUE(first == testing::read_whole(scratch / "second.gguf"))
      << "tools/compare_gguf.py says what differs";
}

INSTANTIATE_TEST_SUITE_P(
    Families, FolderAndBack,
    ::testing::Values(RoundTrip{"llama-3-tied", ElementType::BF16}, RoundTrip{"llama-bias", ElementType::F32},
                      RoundTrip{"llama-gpt2", ElementType::F16}, RoundTrip{"mistral", ElementType::BF16},
                      RoundTrip{"qwen2", ElementType::BF16}, RoundTrip{"qwen3", ElementType::F16}),
    [](const auto& parameter) {
      std::string name = parameter.param.name;
      std::erase(name, '-');
      return name;
    });

TEST(HfFolder, OfAGgufFileHasTheWeightsOfTheFolderItCameFrom) {
  testing::ScratchFolder scratch;
  run(kModels / "llama-3-tied.gguf", scratch / "out");
  const auto made = safetensors::open_safetensors(scratch / "out");
  const auto original = safetensors::open_safetensors(kModels / "llama-3-tied");
  ASSERT_EQ(made->tensors().size(), original->tensors().size());
  for (std::size_t i = 0; i < original->tensors().size(); ++i) {
    const auto& tensor = original->tensors()[i];
    const auto found = made->find(tensor.name);
    ASSERT_TRUE(found) << tensor.name;
    EXPECT_EQ(made->tensors()[*found], tensor);
    std::vector<std::byte> left;
    std::vector<std::byte> right;
    EXPECT_TRUE(std::ranges::equal(made->stored_rows(*found, {0, tensor.rows()}, left),
                                   original->stored_rows(i, {0, tensor.rows()}, right)))
        << tensor.name;
  }
}

TEST(HfFolder, OfAFolderCarriesOverWhatIsNotWeights) {
  testing::ScratchFolder scratch;
  fs::copy(kModels / "qwen2", scratch / "model");
  for (const char* name : {"LICENSE", "pytorch_model.bin", ".gitattributes", "other.gguf"})
    testing::write_whole(scratch / "model" / name, name);
  fs::create_directory(scratch / "model" / "onnx");
  fs::rename(scratch / "model" / "tokenizer.json", scratch / "blob");
  fs::create_symlink("../blob", scratch / "model" / "tokenizer.json");
  run(scratch / "model", scratch / "out");
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(scratch / "out")) {
    EXPECT_FALSE(entry.is_symlink());
    names.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(
      names, ::testing::UnorderedElementsAre("LICENSE", "config.json", "generation_config.json",
                                             "model.safetensors", "tokenizer.json", "tokenizer_config.json"));
  for (const char* name : {"LICENSE", "config.json", "tokenizer.json"}) {
    EXPECT_EQ(testing::read_whole(scratch / "out" / name), testing::read_whole(scratch / "model" / name))
        << name;
  }
}

TEST(HfFolder, ATypeIsAppliedToAllWeightsAndSaidInTheConfig) {
  testing::ScratchFolder scratch;
  run(kModels / "qwen2", scratch / "out", ElementType::F32);
  EXPECT_EQ(config_of(scratch / "out")["dtype"], "float32");
  const auto weights = safetensors::open_safetensors(scratch / "out");
  for (const auto& tensor : weights->tensors()) EXPECT_EQ(tensor.type, ElementType::F32) << tensor.name;
  auto expected = config_of(kModels / "qwen2");
  expected["dtype"] = "float32";
  EXPECT_EQ(config_of(scratch / "out"), expected);
}

TEST(HfFolder, LargeWeightsAreCutIntoShardsThatOpenTogether) {
  testing::ScratchFolder scratch;
  const auto report = run(kModels / "qwen3.gguf", scratch / "out", std::nullopt, 30000);
  EXPECT_TRUE(fs::exists(scratch / "out" / "model.safetensors.index.json"));
  EXPECT_GT(report.files.size(), 6u);
  run(scratch / "out", scratch / "again.gguf");
  EXPECT_TRUE(testing::read_whole(scratch / "again.gguf") == testing::read_whole(kModels / "qwen3.gguf"));
}

TEST(HfFolder, BytesDoNotDependOnTheNumberOfThreads) {
  testing::ScratchFolder scratch;
  run(testing::kDemoModel, scratch / "one", ElementType::BF16, 0, 1);
  run(testing::kDemoModel, scratch / "four", ElementType::BF16, 0, 4);
  EXPECT_TRUE(testing::read_whole(scratch / "one" / "model.safetensors") ==
              testing::read_whole(scratch / "four" / "model.safetensors"));
}

TEST(HfFolder, QuantizedBlocksNeedATypeToBeDecodedTo) {
  testing::ScratchFolder scratch;
  auto model = model::open_model(kModels / "qwen3.gguf");
  std::vector<TensorDescriptor> tensors(model.weights->tensors().begin(), model.weights->tensors().end());
  const auto found = *model.weights->find("blk.0.ffn_up.weight");
  tensors[found].type = ElementType::Q8_0;
  {
    const auto sink = gguf::create_gguf(scratch / "q8.gguf", model.metadata, tensors);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      std::vector<std::byte> scratch_rows;
      const auto rows = model.weights->stored_rows(i, {0, tensors[i].rows()}, scratch_rows);
      sink->write_rows(
          i, 0,
          i == found ? std::vector<std::byte>(tensors[i].bytes()) : std::vector(rows.begin(), rows.end()));
    }
    sink->commit();
  }
  EXPECT_THROW(run(scratch / "q8.gguf", scratch / "out"), UsageError);
  EXPECT_FALSE(fs::exists(scratch / "out"));
  run(scratch / "q8.gguf", scratch / "out", ElementType::F16);
  const auto weights = safetensors::open_safetensors(scratch / "out");
  for (const auto& tensor : weights->tensors()) EXPECT_EQ(tensor.type, ElementType::F16) << tensor.name;
}

/// The model with its first query matrix in 8 bits: codes, scales of rows, one of activations.
class Int8Query final : public WeightSource {
 public:
  explicit Int8Query(const WeightSource& base) : base_(base) {
    for (const auto& tensor : base.tensors()) tensors_.push_back(tensor);
    query_ = *base.find("blk.0.attn_q.weight");
    tensors_[query_].type = ElementType::I8;
    codes_.resize(tensors_[query_].bytes(), std::byte{7});
    scales_.assign(tensors_[query_].rows(), 0.5f);
    tensors_.push_back({"blk.0.attn_q.weight_scale", ElementType::F32, {scales_.size()}});
    tensors_.push_back({"blk.0.attn_q.input_scale", ElementType::F32, {1}});
  }
  const std::string& name() const override { return base_.name(); }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  void discard(std::size_t, RowRange) const override {}
  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override {
    const auto row = row_bytes(tensors_[tensor].type, tensors_[tensor].columns());
    if (tensor == query_) return std::span(codes_).subspan(rows.first * row, rows.count * row);
    if (tensor >= base_.tensors().size()) return std::as_bytes(std::span(scales_)).first(row);
    return base_.stored_rows(tensor, rows, scratch);
  }

 private:
  const WeightSource& base_;
  std::vector<TensorDescriptor> tensors_;
  std::size_t query_ = 0;
  std::vector<std::byte> codes_;
  std::vector<float> scales_;
};

TEST(HfFolder, EightBitLinearsKeepTheirCodesBesideScalesInTheModelsType) {
  testing::ScratchFolder scratch;
  const auto model = model::open_model(testing::kDemoModel);
  const Int8Query weights(*model.weights);
  SilentProgress progress;
  const StopFlag stop;
  const json::Value quantization = {{"quant_method", "compressed-tensors"}};
  write_hf_folder(
      weights, model,
      {.input = testing::kDemoModel, .output = scratch / "out", .quantization_config = quantization},
      progress, stop);
  EXPECT_EQ(config_of(scratch / "out")["quantization_config"], quantization);
  const auto made = safetensors::open_safetensors(scratch / "out");
  const auto descriptor = [&](const std::string& name) { return made->tensors()[made->find(name).value()]; };
  const std::string stem = "model.layers.0.self_attn.q_proj.";
  EXPECT_EQ(descriptor(stem + "weight").type, ElementType::I8);
  EXPECT_EQ(descriptor(stem + "weight_scale"),
            (TensorDescriptor{stem + "weight_scale", ElementType::F16, {256, 1}}));
  EXPECT_EQ(descriptor(stem + "input_scale"),
            (TensorDescriptor{stem + "input_scale", ElementType::F16, {1}}));
}

TEST(HfFolder, OutputsThatAreNotFreeAreRefused) {
  testing::ScratchFolder scratch;
  fs::copy(kModels / "qwen3", scratch / "model");
  fs::copy(kModels / "qwen3", scratch / "other.partial");
  testing::write_whole(scratch / "file", "text");
  EXPECT_THROW(run(scratch / "model", scratch / "model"), UsageError);
  EXPECT_THROW(run(scratch / "model", scratch / "file"), UsageError);
  EXPECT_THROW(run(scratch / "model", scratch / "none" / "out"), UsageError);
  EXPECT_THROW(run(scratch / "other.partial", scratch / "other"), UsageError);
  EXPECT_THROW(run(scratch / "other.partial", scratch / "other/"), UsageError);
  EXPECT_TRUE(fs::exists(scratch / "other.partial" / "model.safetensors"));
  EXPECT_TRUE(fs::exists(scratch / "model" / "model.safetensors"));
}

TEST(HfFolder, WhatCannotBeSaidIsRefusedAndLeavesNothing) {
  testing::ScratchFolder scratch;
  testing::write_model(scratch / "experts.gguf", {.experts = 4});
  EXPECT_THROW(run(scratch / "experts.gguf", scratch / "out"), BadFileError);
  EXPECT_THAT(scratch.names(), ::testing::ElementsAre("experts.gguf"));
}

TEST(HfFolder, AStoppedRunLeavesNothing) {
  testing::ScratchFolder scratch;
  testing::StopInStage progress("quantize", 3);
  EXPECT_THROW(convert({.model = testing::kDemoModel, .output = scratch / "out", .encode = {.threads = 1}},
                       progress, progress.stop),
               InterruptedError);
  EXPECT_TRUE(scratch.names().empty());
}

}  // namespace
}  // namespace tessera::pipeline
