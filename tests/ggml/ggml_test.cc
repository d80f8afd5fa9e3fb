// Holds our decoders, and the encoders borrowed with --encoder ggml, against a system libggml and
// llama-quantize.
#include <gtest/gtest.h>

#include "foundation/base/error.h"
#include "foundation/codecs/codec.h"
#include "foundation/codecs/encoder.h"

#ifdef TESSERA_WITH_GGML
#include <ggml.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "foundation/formats/gguf/gguf_file.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#endif

namespace tessera::codecs {
namespace {

#ifndef TESSERA_WITH_GGML

TEST(GgmlEncoder, WithoutLibggmlTheOptionSaysWhatToInstall) {
  try {
    (void)encoder_for(EncoderKind::ggml, ElementType::Q4_K);
    FAIL() << "an encoder that this build cannot have";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string_view(error.what()).find("libggml-dev"), std::string_view::npos) << error.what();
  }
}

#else

class EveryWeightType : public testing::TestWithParam<const Codec*> {
 protected:
  ElementType type() const { return GetParam()->type(); }
  std::string name() const { return std::string(name_of(type())); }
};

INSTANTIATE_TEST_SUITE_P(Ggml, EveryWeightType, testing::ValuesIn(all_codecs().begin(), all_codecs().end()),
                         [](const auto& each) { return std::string(name_of(each.param->type())); });

bool same_float(float left, float right) {
  return std::memcmp(&left, &right, sizeof left) == 0 || (std::isnan(left) && std::isnan(right));
}

void decode_with_ggml(ElementType type, std::span<const std::byte> blocks, std::span<float> weights) {
  if (type == ElementType::F32) {
    std::memcpy(weights.data(), blocks.data(), blocks.size());
    return;
  }
  const auto* traits = ggml_get_type_traits(static_cast<ggml_type>(type));
  traits->to_float(blocks.data(), weights.data(), static_cast<std::int64_t>(weights.size()));
}

TEST_P(EveryWeightType, RandomBlocksDecodeAsGgmlDecodesThem) {
  constexpr std::size_t kBlocks = 4096;
  std::vector<std::byte> blocks(kBlocks * info(type()).block_bytes);
  std::mt19937 random(1);
  for (auto& byte : blocks) byte = static_cast<std::byte>(random());
  std::vector<float> ours(kBlocks * info(type()).block_weights);
  std::vector<float> theirs(ours.size());
  GetParam()->decode(blocks, ours);
  decode_with_ggml(type(), blocks, theirs);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    ASSERT_TRUE(same_float(ours[i], theirs[i])) << "weight " << i << ": " << ours[i] << " and " << theirs[i];
  }
}

/// Runs a shell command and returns whether it succeeded.
bool succeeds(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

std::vector<std::byte> stored(const WeightSource& source, std::size_t tensor) {
  std::vector<std::byte> scratch;
  const auto bytes = source.stored_rows(tensor, {0, source.tensors()[tensor].rows()}, scratch);
  return {bytes.begin(), bytes.end()};
}

/// An importance matrix with an entry for every matrix of the model, so that every type can be asked for.
imatrix::ImatrixFile importance_for(const WeightSource& model) {
  imatrix::ImatrixFile file{.datasets = {"random"}, .chunk_count = 1, .chunk_size = 512, .entries = {}};
  std::mt19937 random(1);
  for (const auto& tensor : model.tensors()) {
    if (tensor.shape.size() < 2) continue;
    auto& entry = file.entries[tensor.name];
    entry.columns = tensor.columns();
    entry.counts = {3};
    for (std::uint64_t i = 0; i < entry.columns; ++i) {
      entry.sums.push_back(std::exp(4.0f * static_cast<float>(random()) * 0x1p-32f));
    }
  }
  return file;
}

class AgainstLlamaQuantize : public EveryWeightType {
 protected:
  void SetUp() override {
    if (!info(type()).quantized) GTEST_SKIP() << "nothing to encode";
    if (!succeeds("command -v llama-quantize")) GTEST_SKIP() << "llama-quantize is not installed";
    std::filesystem::create_directories(folder_);
    ASSERT_TRUE(succeeds(TESSERA_PROGRAM " convert " TESSERA_TESTDATA "/demo-model --type f16 -o " + f16_));
    imatrix::write_imatrix_gguf(imatrix_, importance_for(*gguf::open_gguf(f16_)));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  const std::string folder_ = testing::TempDir() + "tessera_ggml_" + name() + "/";
  const std::string f16_ = folder_ + "f16.gguf";
  const std::string imatrix_ = folder_ + "imatrix.gguf";
};

INSTANTIATE_TEST_SUITE_P(Ggml, AgainstLlamaQuantize,
                         testing::ValuesIn(all_codecs().begin(), all_codecs().end()),
                         [](const auto& each) { return std::string(name_of(each.param->type())); });

TEST_P(AgainstLlamaQuantize, EncoderGgmlWritesTheSameBytes) {
  // llama-quantize has no file type for some types; asked for per tensor, it knows all.
  ASSERT_TRUE(succeeds("llama-quantize --pure --imatrix " + imatrix_ + " --tensor-type '.*=" + name() +
                       "' --token-embedding-type " + name() + " --output-tensor-type " + name() + " " + f16_ +
                       " " + folder_ + "theirs.gguf Q8_0 2"));
  ASSERT_TRUE(succeeds(TESSERA_PROGRAM " quantize --pure --encoder ggml --imatrix " + imatrix_ + " " + f16_ +
                       " -o " + folder_ + "ours.gguf --type " + name()));
  const auto ours = gguf::open_gguf(folder_ + "ours.gguf");
  const auto theirs = gguf::open_gguf(folder_ + "theirs.gguf");
  ASSERT_EQ(ours->tensors().size(), theirs->tensors().size());
  for (std::size_t i = 0; i < ours->tensors().size(); ++i) {
    const auto& tensor = ours->tensors()[i];
    const auto other = theirs->find(tensor.name);
    ASSERT_TRUE(other) << tensor.name;
    EXPECT_EQ(theirs->tensors()[*other], tensor) << tensor.name;
    EXPECT_TRUE(stored(*ours, i) == stored(*theirs, *other)) << tensor.name;
  }
}

#endif

}  // namespace
}  // namespace tessera::codecs
