// Encoding is judged by the importance-weighted squared error on a fixed matrix, against ggml's encoder at
// the same bytes. The table of all types is printed, so that a run shows how far each is from its limit.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "codecs/codec_testing.h"

namespace tessera::codecs {
namespace {

namespace fs = std::filesystem;

/// The largest allowed ratio to the reference's error: 1 by principle; below it what each codebook type has
/// reached.
double allowed_ratio(ElementType type) {
  switch (type) {
    case ElementType::IQ1_S:
    case ElementType::IQ1_M:
    case ElementType::IQ2_XXS:
    case ElementType::IQ2_XS:
    case ElementType::IQ2_S:
    case ElementType::IQ3_XXS:
    case ElementType::IQ3_S:
      return 0.95;
    default:
      return 1.0;
  }
}

/// Room for adding the same errors in another order than the reference did.
constexpr double kSummation = 1 + 1e-9;

struct Reference {
  std::vector<float> weights;
  std::vector<float> importance;
  nlohmann::json summary;

  static const Reference& get() {
    static const Reference reference = [] {
      const fs::path folder = fs::path(TESSERA_TESTDATA) / "encode";
      return Reference{read_values<float>(folder / "X.f32.bin"),
                       read_values<float>(folder / "importance.f32.bin"),
                       nlohmann::json::parse(std::ifstream(folder / "reference.json"))};
    }();
    return reference;
  }
  std::size_t columns() const { return importance.size(); }
};

class ReferenceError : public testing::TestWithParam<const Codec*> {
 protected:
  void SetUp() override {
    if (GetParam()->type() == ElementType::F32) GTEST_SKIP() << "F32 has no error";
  }
};

TEST_P(ReferenceError, WithImportanceIsNotAboveTheReferenceOnAnySimdPath) {
  const auto& reference = Reference::get();
  const double limit = reference.summary["types"][codec_name(GetParam())]["wse"];
  for (const std::int64_t target : runnable_targets()) {
    const ForcedTarget forced(target);
    const auto decoded =
        reconstruct(*GetParam(), {reference.weights, reference.columns(), reference.importance});
    const double error =
        weighted_squared_error(reference.weights, decoded, reference.columns(), reference.importance);
    EXPECT_LE(error, limit * allowed_ratio(GetParam()->type()) * kSummation) << hwy::TargetName(target);
    fmt::print("{:8} {:8} weighted error {:.5g}, {:.4f} of the reference\n", codec_name(GetParam()),
               hwy::TargetName(target), error, error / limit);
  }
}

TEST_P(ReferenceError, WithoutImportanceIsNotAboveTheReference) {
  const auto& reference = Reference::get();
  const auto& limit = reference.summary["types"][codec_name(GetParam())]["wse_plain"];
  if (limit.is_null()) GTEST_SKIP() << "the reference cannot encode this type without importance";
  const auto decoded = reconstruct(*GetParam(), {reference.weights, reference.columns(), {}});
  const double error =
      weighted_squared_error(reference.weights, decoded, reference.columns(), reference.importance);
  EXPECT_LE(error, limit.get<double>() * kSummation);
  fmt::print("{:8} without importance {:.5g}, {:.4f} of the reference\n", codec_name(GetParam()), error,
             error / limit.get<double>());
}

INSTANTIATE_TEST_SUITE_P(EveryType, ReferenceError,
                         testing::ValuesIn(all_codecs().begin(), all_codecs().end()),
                         [](const auto& param) { return codec_name(param.param); });

}  // namespace
}  // namespace tessera::codecs
