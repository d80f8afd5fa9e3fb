#include "stages/rounded_to_int8.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "foundation/base/error.h"
#include "tensor/memory_source.h"

namespace tessera::stages {
namespace {

constexpr std::uint64_t kRows = 40;
constexpr std::uint64_t kColumns = 200;
constexpr const char* kMatrix = "blk.0.attn_q";

std::vector<float> weights_with_odd_rows() {
  auto weights = testing::normal_weights(kRows * kColumns, 3);
  std::fill_n(weights.begin() + 2 * kColumns, kColumns, 0.0f);
  for (std::size_t c = 0; c < kColumns; ++c) weights[5 * kColumns + c] *= 1e-6f;  // below F16's normal range
  return weights;
}

struct Model {
  explicit Model(const std::vector<float>& weights) {
    source.add("token_embd.weight", ElementType::F32, {kRows, kColumns}, weights);
    source.add("blk.0.attn_norm.weight", ElementType::F32, {kColumns}, std::vector<float>(kColumns, 1));
    source.add(std::string(kMatrix) + ".weight", ElementType::F32, {kRows, kColumns}, weights);
  }
  testing::MemorySource source;
};

template <class T>
std::vector<T> all_of(const WeightSource& source, const std::string& name) {
  const auto tensor = source.find(name).value();
  std::vector<std::byte> scratch;
  const auto bytes = source.stored_rows(tensor, {0, source.tensors()[tensor].rows()}, scratch);
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

TEST(RoundedToInt8, DecodeToWithinHalfAStepOfEveryWeight) {
  const auto weights = weights_with_odd_rows();
  const Model model(weights);
  for (const auto type : {ElementType::F32, ElementType::BF16, ElementType::F16}) {
    const RoundedToInt8 int8(model.source, {.scale_type = type});
    const auto codes = all_of<std::int8_t>(int8, "blk.0.attn_q.weight");
    const auto scales = all_of<float>(int8, "blk.0.attn_q.weight_scale");
    ASSERT_EQ(scales.size(), kRows);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const float scale = scales[i / kColumns];
      ASSERT_NEAR(static_cast<float>(codes[i]) * scale, weights[i], 0.5001f * scale)
          << name_of(type) << ", weight " << i;
    }
  }
}

TEST(RoundedToInt8, UseTheWholeRangeOfCodes) {
  const auto weights = testing::normal_weights(kRows * kColumns, 3);
  const Model model(weights);
  const auto codes = all_of<std::int8_t>(RoundedToInt8(model.source, {}), "blk.0.attn_q.weight");
  for (std::uint64_t row = 0; row < kRows; ++row) {
    int largest = 0;
    for (std::uint64_t c = 0; c < kColumns; ++c)
      largest = std::max(largest, std::abs(codes[row * kColumns + c]));
    EXPECT_EQ(largest, 127) << row;
  }
}

TEST(RoundedToInt8, HaveScalesThatTheTypeOfTheFileHolds) {
  const Model model(weights_with_odd_rows());
  const auto exact = all_of<float>(RoundedToInt8(model.source, {}), "blk.0.attn_q.weight_scale");
  for (const auto type : {ElementType::BF16, ElementType::F16}) {
    auto scales =
        all_of<float>(RoundedToInt8(model.source, {.scale_type = type}), "blk.0.attn_q.weight_scale");
    std::vector<std::byte> stored(row_bytes(type, kRows));
    codecs::codec_for(type).encode({scales, kRows, {}}, stored);
    std::vector<float> read(kRows);
    codecs::codec_for(type).decode(stored, read);
    EXPECT_EQ(read, scales);
    for (std::size_t row = 0; row < kRows; ++row) {
      EXPECT_GE(scales[row], exact[row]);
      EXPECT_GT(scales[row], 0) << "rows of zeros, too, have a scale that can be divided by";
    }
  }
}

TEST(RoundedToInt8, KeepWhatIsNoLinearOfALayer) {
  const auto weights = weights_with_odd_rows();
  const Model model(weights);
  const RoundedToInt8 int8(model.source, {});
  EXPECT_EQ(all_of<float>(int8, "token_embd.weight"), weights);
  EXPECT_EQ(int8.tensors()[int8.find("blk.0.attn_norm.weight").value()].type, ElementType::F32);
  EXPECT_EQ(int8.tensors().size(), 4u);
}

TEST(RoundedToInt8, GiveTheSameCodesRowByRow) {
  const Model model(weights_with_odd_rows());
  const RoundedToInt8 int8(model.source, {});
  const auto all = all_of<std::int8_t>(int8, "blk.0.attn_q.weight");
  const auto tensor = int8.find("blk.0.attn_q.weight").value();
  std::vector<std::byte> scratch;
  for (std::uint64_t row = 0; row < kRows; ++row) {
    const auto bytes = int8.stored_rows(tensor, {row, 1}, scratch);
    EXPECT_EQ(std::memcmp(bytes.data(), all.data() + row * kColumns, kColumns), 0) << row;
  }
}

TEST(RoundedToInt8, HaveAnInputScaleWhereActivationsAreStatic) {
  const Model model(weights_with_odd_rows());
  const RoundedToInt8 int8(model.source, {.input_maxima = {{"blk.0.attn_q.weight", 12.7f}}});
  EXPECT_FLOAT_EQ(all_of<float>(int8, "blk.0.attn_q.input_scale").at(0), 0.1f);
}

TEST(RoundedToInt8, RefuseStaticActivationsThatWereNeverSeen) {
  const Model model(weights_with_odd_rows());
  EXPECT_THROW(RoundedToInt8(model.source, {.input_maxima = {{"blk.0.attn_q.weight", 0.0f}}}), UsageError);
  EXPECT_THROW(RoundedToInt8(model.source, {.input_maxima = {{"blk.1.attn_q.weight", 1.0f}}}), UsageError);
}

}  // namespace
}  // namespace tessera::stages
