// Decoding equals ggml's bit for bit, for every type and every SIMD path of this machine.

#include <gtest/gtest.h>

#include <cstring>

#include "codecs/codec_testing.h"

namespace tessera::codecs {
namespace {

namespace fs = std::filesystem;

class GoldenDecode : public testing::TestWithParam<const Codec*> {
 protected:
  /// Decodes all blocks at once and checks every bit of the result.
  static void expect_exact(const Codec& codec, const std::vector<std::byte>& blocks,
                           const std::vector<float>& expected) {
    ASSERT_FALSE(blocks.empty());
    for (const std::int64_t target : runnable_targets()) {
      const ForcedTarget forced(target);
      std::vector<float> decoded(expected.size());
      codec.decode(blocks, decoded);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(std::memcmp(&decoded[i], &expected[i], sizeof(float)), 0)
            << hwy::TargetName(target) << ": weight " << i << " is " << decoded[i] << ", not " << expected[i];
      }
    }
  }
};

TEST_P(GoldenDecode, EqualsTheReferenceBitForBit) {
  const fs::path folder = fs::path(TESSERA_TESTDATA) / "golden";
  const std::string name = codec_name(GetParam());
  expect_exact(*GetParam(), read_values<std::byte>(folder / (name + ".blocks")),
               read_values<float>(folder / (name + ".f32")));
}

TEST_P(GoldenDecode, EqualsTheWholeReferenceSetBitForBit) {
  const fs::path folder = fs::path(TESSERA_SHARED) / "formats/golden";
  if (!fs::exists(folder)) GTEST_SKIP() << "no reference set at " << folder;
  const std::string name = codec_name(GetParam());
  expect_exact(*GetParam(), read_values<std::byte>(folder / (name + ".blocks.bin")),
               read_values<float>(folder / (name + ".f32.bin")));
}

INSTANTIATE_TEST_SUITE_P(EveryType, GoldenDecode, testing::ValuesIn(all_codecs().begin(), all_codecs().end()),
                         [](const auto& param) { return codec_name(param.param); });

}  // namespace
}  // namespace tessera::codecs
