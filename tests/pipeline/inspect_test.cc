#include "pipeline/inspect.h"

#include <gtest/gtest.h>

#include "foundation/formats/safetensors/safetensors_writer.h"
#include "pipeline/small_model.h"

namespace tessera::pipeline {
namespace {

using model::TensorRole;
using tessera::testing::importance_for;
using tessera::testing::ScratchFolder;
using tessera::testing::write_model;

TEST(Inspect, AGgufModelIsDescribedBySizeRoleAndType) {
  const ScratchFolder folder;
  write_model(folder / "model.gguf", {.layers = 2, .columns = 256, .rows = 48});
  const auto description = inspect(folder / "model.gguf");
  EXPECT_EQ(description.kind, FileKind::gguf);
  EXPECT_EQ(description.metadata.text("general.name"), "small model");
  const auto roles = group_by_role(description.tensors);
  EXPECT_EQ(roles.at(TensorRole::attention_value).tensors, 2u);
  EXPECT_EQ(roles.at(TensorRole::attention_value).weights, 2u * 48 * 256);
  EXPECT_EQ(roles.at(TensorRole::attention_value).bytes, 2u * 48 * 256 * 2);
  EXPECT_DOUBLE_EQ(roles.at(TensorRole::attention_value).bits_per_weight(), 16.0);
  EXPECT_EQ(roles.at(TensorRole::norm).tensors, 3u);
  const auto types = group_by_type(description.tensors);
  EXPECT_EQ(types.at(ElementType::F32).tensors, 3u);
  EXPECT_EQ(types.at(ElementType::F16).tensors, 16u);
  EXPECT_EQ(total_of(description.tensors).tensors, description.tensors.size());
}

TEST(Inspect, JsonCutsLongArraysAndSaysTheirLength) {
  const ScratchFolder folder;
  auto metadata = tessera::testing::metadata_of({});
  metadata.set("tokenizer.ggml.tokens", gguf::Array(std::vector<std::string>(100, "token")));
  metadata.set("tokenizer.ggml.token_type", gguf::Array(std::vector<std::int32_t>{1, 2, 3}));
  gguf::create_gguf(folder / "empty.gguf", metadata, {})->commit();
  const auto json = to_json(inspect(folder / "empty.gguf"), 5);
  EXPECT_EQ(json.at("metadata").at("tokenizer.ggml.tokens").at("length"), 100);
  EXPECT_EQ(json.at("metadata").at("tokenizer.ggml.tokens").at("first").size(), 5u);
  EXPECT_EQ(json.at("metadata").at("tokenizer.ggml.token_type"), nlohmann::json::array({1, 2, 3}));
  EXPECT_EQ(json.at("total").at("tensors"), 0);
}

TEST(Inspect, SafetensorsShowTheRolesOfHuggingFaceNames) {
  const ScratchFolder folder;
  const auto sink = safetensors::create_safetensors(
      folder.path(), {{"model.layers.3.self_attn.v_proj.weight", ElementType::BF16, {4, 8}},
                      {"model.layers.3.input_layernorm.weight", ElementType::BF16, {8}}});
  sink->write_rows(0, 0, std::vector<std::byte>(64));
  sink->write_rows(1, 0, std::vector<std::byte>(16));
  sink->commit();
  for (const auto& path : {folder.path(), folder / "model.safetensors"}) {
    const auto description = inspect(path);
    EXPECT_EQ(description.kind, FileKind::safetensors);
    ASSERT_EQ(description.tensors.size(), 2u);
    const auto roles = group_by_role(description.tensors);
    EXPECT_EQ(roles.at(TensorRole::attention_value).weights, 32u);
    EXPECT_EQ(roles.at(TensorRole::norm).weights, 8u);
  }
  EXPECT_EQ(place_of_stored("model.layers.3.self_attn.v_proj.weight").layer, 3u);
}

TEST(Inspect, ImportanceMatricesOfBothFormsAreRecognised) {
  const ScratchFolder folder;
  const auto matrix = importance_for({.layers = 1, .experts = 2}, 1);
  imatrix::write_imatrix_gguf(folder / "im.gguf", matrix);
  imatrix::write_imatrix_legacy(folder / "im.dat", matrix);
  for (const char* name : {"im.gguf", "im.dat"}) {
    const auto description = inspect(folder / name);
    EXPECT_EQ(description.kind, FileKind::importance_matrix) << name;
    ASSERT_TRUE(description.importance.has_value());
    EXPECT_EQ(description.importance->entries.size(), matrix.entries.size());
    const auto json = to_json(description);
    EXPECT_EQ(json.at("importance_matrix").at("entries").size(), matrix.entries.size());
  }
}

TEST(Inspect, AnImportanceMatrixShowsItsMethodAndExtraStatistics) {
  const ScratchFolder folder;
  auto matrix = importance_for({.layers = 1});
  matrix.method = imatrix::ImportanceMethod::gradient;
  auto& [name, entry] = *matrix.entries.begin();
  entry.maxima.assign(entry.columns, 2.0f);
  entry.sensitivity = 0.5f;
  imatrix::write_imatrix_gguf(folder / "im.gguf", matrix);
  const auto json = to_json(inspect(folder / "im.gguf")).at("importance_matrix");
  EXPECT_EQ(json.at("method"), "gradient");
  EXPECT_EQ(json.at("entries").at(0).at("maximum"), 2.0);
  EXPECT_EQ(json.at("entries").at(0).at("sensitivity"), 0.5);
  EXPECT_FALSE(json.at("entries").at(1).contains("maximum"));
}

}  // namespace
}  // namespace tessera::pipeline
