// Shared by the kernel tests: random rows, comparison with a scalar twin, every SIMD target.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace tessera::kernels {

/// Sizes of rows with and without whole vectors, with and without a rest.
inline constexpr std::size_t kRowSizes[] = {1, 3, 16, 31, 64, 77, 256, 1000};

inline std::vector<float> random_values(std::size_t count, unsigned seed, float largest = 1.0f) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-largest, largest);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(generator);
  return values;
}

/// Runs the test on each SIMD target that this machine offers, the emulated scalar one included.
class EveryTarget : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

inline auto all_targets() { return testing::ValuesIn(hwy::SupportedAndGeneratedTargets()); }

inline std::string target_name(const testing::TestParamInfo<std::int64_t>& target) {
  return hwy::TargetName(target.param);
}

}  // namespace tessera::kernels
