// Blocks with protected weights: never worse than plain by the measure that counts them, and what is restored
// from elsewhere leaves no trace in the others.
#include "foundation/codecs/protected_block.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "codecs/codec_testing.h"

namespace tessera::codecs {
namespace {

struct Sample {
  std::vector<float> weights;
  std::vector<float> importance;
};

Sample sample_of(std::size_t width, float outlier, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::uniform_real_distribution<float> uniform(0.5f, 2.0f);
  Sample sample;
  for (std::size_t i = 0; i < width; ++i) {
    sample.weights.push_back(normal(random));
    sample.importance.push_back(uniform(random));
  }
  sample.weights[width / 3] = outlier;
  return sample;
}

class ProtectedBlocks : public ::testing::TestWithParam<const Codec*> {
 protected:
  const Codec& codec() const { return *GetParam(); }
  std::size_t width() const { return info(codec().type()).block_weights; }
  std::size_t place() const { return width() / 3; }

  std::vector<float> plain(const Sample& sample) const {
    return reconstruct(codec(), {sample.weights, width(), sample.importance});
  }
  std::vector<float> with_protection(const Sample& sample, bool restored) const {
    std::vector<std::byte> block(info(codec().type()).block_bytes);
    codec().encode({sample.weights, width(), sample.importance}, block);
    const std::vector<ProtectedColumn> columns = {{place(), restored}};
    protect_block(encoder_for(EncoderKind::tessera, codec().type()), codec(),
                  {sample.weights, sample.importance, columns}, block);
    std::vector<float> decoded(width());
    codec().decode(block, decoded);
    return decoded;
  }

  double error_at_place(const Sample& sample, std::span<const float> decoded) const {
    return std::abs(double{sample.weights[place()]} - double{decoded[place()]});
  }
  double error_elsewhere(const Sample& sample, std::span<const float> decoded) const {
    double sum = 0;
    for (std::size_t i = 0; i < width(); ++i) {
      const double difference = double{sample.weights[i]} - double{decoded[i]};
      if (i != place()) sum += sample.importance[i] * difference * difference;
    }
    return sum;
  }
  /// The measure by which candidates are chosen, computed anew.
  double raised_error(const Sample& sample, std::span<const float> decoded) const {
    double energy = 0;
    for (std::size_t i = 0; i < width(); ++i)
      if (i != place()) energy += sample.importance[i] * std::pow(double{sample.weights[i]}, 2);
    const double own = sample.importance[place()] * std::pow(double{sample.weights[place()]}, 2);
    const double raise =
        std::clamp(std::sqrt(own / (energy / static_cast<double>(width() - 1))), 1.0, kLargestRaise);
    return error_elsewhere(sample, decoded) +
           raise * sample.importance[place()] * std::pow(error_at_place(sample, decoded), 2);
  }
};

TEST_P(ProtectedBlocks, AreNeverWorseThanPlainOnesByTheRaisedError) {
  for (const float outlier : {0.0f, 0.05f, 0.3f, -2.0f}) {
    for (unsigned seed = 0; seed < 8; ++seed) {
      const auto sample = sample_of(width(), outlier, seed);
      EXPECT_LE(raised_error(sample, with_protection(sample, false)),
                raised_error(sample, plain(sample)) * (1 + 1e-5))
          << outlier << " seed " << seed;
    }
  }
}

TEST_P(ProtectedBlocks, BringAnOutlierCloserInTheMean) {
  double plain_error = 0, protected_error = 0;
  for (unsigned seed = 0; seed < 16; ++seed) {
    const auto sample = sample_of(width(), 0.2f, seed);
    plain_error += error_at_place(sample, plain(sample));
    protected_error += error_at_place(sample, with_protection(sample, false));
  }
  EXPECT_LE(protected_error, plain_error);
}

TEST_P(ProtectedBlocks, GiveTheOthersTheirOwnScalesWhereTheOutlierIsRestored) {
  double plain_error = 0, restored_error = 0;
  for (unsigned seed = 0; seed < 16; ++seed) {
    const auto sample = sample_of(width(), 3.0f, seed);
    const double before = error_elsewhere(sample, plain(sample));
    const double after = error_elsewhere(sample, with_protection(sample, true));
    EXPECT_LE(after, before * (1 + 1e-5)) << seed;
    plain_error += before;
    restored_error += after;
  }
  EXPECT_LT(restored_error, plain_error * 0.7);
}

TEST_P(ProtectedBlocks, OfZerosStayAsTheyAre) {
  const Sample zeros{std::vector<float>(width(), 0.0f), std::vector<float>(width(), 1.0f)};
  for (const bool restored : {false, true}) EXPECT_EQ(with_protection(zeros, restored), plain(zeros));
}

std::vector<const Codec*> block_codecs() {
  std::vector<const Codec*> codecs;
  for (const auto* codec : all_codecs()) {
    if (info(codec->type()).quantized) codecs.push_back(codec);
  }
  return codecs;
}

INSTANTIATE_TEST_SUITE_P(All, ProtectedBlocks, ::testing::ValuesIn(block_codecs()),
                         [](const auto& param) { return codec_name(param.param); });

}  // namespace
}  // namespace tessera::codecs
