// Sums of products of inputs against the same in float64.
#include "stages/gather_moments.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "foundation/base/error.h"

namespace tessera {
namespace {

using kernels::Matrix;
using kernels::Precision;
using stages::MomentSums;

const std::vector<std::string> kReaders = {"blk.0.attn_q.weight", "blk.0.attn_k.weight"};

/// A batch of both inputs, in a matrix with more rows than tokens.
struct Batch {
  Batch(Precision precision, std::size_t count, std::size_t columns, unsigned seed)
      : reference(precision, count + 3, columns), replaced(precision, count + 3, columns), tokens(count) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> row(columns), other(columns);
    for (std::size_t t = 0; t < reference.rows(); ++t) {
      for (std::size_t c = 0; c < columns; ++c) {
        row[c] = normal(random);
        other[c] = row[c] + 0.1f * normal(random) + 0.05f;
      }
      reference.store(t, row);
      replaced.store(t, other);
    }
  }
  model::PairedRows rows() const { return {&reference, replaced, tokens}; }

  Matrix reference;
  Matrix replaced;
  std::size_t tokens;
};

std::vector<Batch> batches(Precision precision, std::size_t columns) {
  std::vector<Batch> result;
  for (const std::size_t tokens : {64, 64, 37})
    result.emplace_back(precision, tokens, columns, tokens + result.size());
  return result;
}

InputMoments moments_of(const std::vector<Batch>& batches, std::size_t columns,
                        const stages::MomentSettings& settings) {
  MomentSums sums(columns, settings);
  for (const auto& batch : batches) sums.add(batch.rows());
  return sums.take("model.gguf", kReaders);
}

/// Mean of a b^T over all batches, in float64.
std::vector<double> mean_products(const std::vector<Batch>& batches, Matrix Batch::*left,
                                  std::size_t columns) {
  std::vector<double> sums(columns * columns);
  std::vector<float> a(columns), b(columns);
  double tokens = 0;
  for (const auto& batch : batches) {
    for (std::size_t t = 0; t < batch.tokens; ++t) {
      (batch.*left).load(t, a);
      batch.replaced.load(t, b);
      for (std::size_t i = 0; i < columns; ++i) {
        for (std::size_t j = 0; j < columns; ++j) sums[i * columns + j] += double{a[i]} * double{b[j]};
      }
    }
    tokens += static_cast<double>(batch.tokens);
  }
  for (double& sum : sums) sum /= tokens;
  return sums;
}

std::vector<double> mean_drift(const std::vector<Batch>& batches, std::size_t columns) {
  auto drift = mean_products(batches, &Batch::reference, columns);
  const auto second = mean_products(batches, &Batch::replaced, columns);
  for (std::size_t i = 0; i < drift.size(); ++i) drift[i] -= second[i];
  return drift;
}

void expect_near(const std::vector<float>& actual, const std::vector<double>& expected,
                 double tolerance = 2e-6) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], tolerance) << i;
}

TEST(MomentSums, AreTheMeansOfTheProductsInBothPrecisions) {
  for (const auto precision : kernels::available_precisions()) {
    for (const std::size_t columns : {5, 256, 300, 530}) {
      const auto rows = batches(precision, columns);
      const auto moments = moments_of(rows, columns, {.threads = 2});
      EXPECT_EQ(moments.columns, columns);
      EXPECT_EQ(moments.tokens, 64u + 64 + 37);
      expect_near(moments.second, mean_products(rows, &Batch::replaced, columns));
      // r - x is rounded to bf16 once more.
      expect_near(moments.drift, mean_drift(rows, columns), precision == Precision::f32 ? 2e-6 : 2e-4);
    }
  }
}

TEST(MomentSums, TheSecondMomentIsSymmetricToTheBit) {
  for (const auto precision : kernels::available_precisions()) {
    const std::size_t columns = 300;
    const auto second = moments_of(batches(precision, columns), columns, {.threads = 2}).second;
    for (std::size_t i = 0; i < columns; ++i) {
      for (std::size_t j = 0; j < i; ++j) ASSERT_EQ(second[i * columns + j], second[j * columns + i]);
    }
  }
}

TEST(MomentSums, AreTheSameBitsForAnyNumberOfThreads) {
  for (const auto precision : kernels::available_precisions()) {
    const std::size_t columns = 530;
    const auto rows = batches(precision, columns);
    const auto one = moments_of(rows, columns, {.threads = 1});
    const auto three = moments_of(rows, columns, {.threads = 3});
    EXPECT_EQ(one.second, three.second);
    EXPECT_EQ(one.drift, three.drift);
  }
}

TEST(MomentSums, WithoutDriftTheSecondMomentIsTheSame) {
  const std::size_t columns = 300;
  const auto rows = batches(Precision::f32, columns);
  const auto alone = moments_of(rows, columns, {.drift = false, .threads = 2});
  EXPECT_EQ(alone.second, moments_of(rows, columns, {.threads = 2}).second);
  EXPECT_TRUE(alone.drift.empty());
}

TEST(MomentSums, TakeDriftFromTheBatchesThatHaveAReference) {
  const std::size_t columns = 300;
  auto rows = batches(Precision::f32, columns);  // three of them
  MomentSums sums(columns, {.threads = 2});
  for (std::size_t i = 0; i < rows.size(); ++i)
    sums.add({i % 2 == 0 ? &rows[i].reference : nullptr, rows[i].replaced, rows[i].tokens});
  const auto moments = sums.take("model.gguf", kReaders);
  expect_near(moments.second, mean_products(rows, &Batch::replaced, columns));
  std::vector<Batch> taken;
  for (const std::size_t i : {0u, 2u}) taken.push_back(std::move(rows[i]));
  expect_near(moments.drift, mean_drift(taken, columns));
  expect_near(moments.paired_second, mean_products(taken, &Batch::replaced, columns));
}

TEST(MomentSums, OfSumsTogetherAreTheMeansOverAllTheirTokens) {
  const std::size_t columns = 300;
  const auto rows = batches(Precision::f32, columns);
  MomentSums all(columns, {.threads = 2}), last(columns, {.threads = 2});
  all.add(rows[0].rows());
  all.add({nullptr, rows[1].replaced, rows[1].tokens});
  last.add(rows[2].rows());
  all.add(last);
  const auto moments = all.take("model.gguf", kReaders);
  EXPECT_EQ(moments.tokens, 64u + 64 + 37);
  expect_near(moments.second, mean_products(rows, &Batch::replaced, columns));
  std::vector<Batch> paired;
  paired.emplace_back(Precision::f32, 64, columns, 64);
  paired.emplace_back(Precision::f32, 37, columns, 39);
  expect_near(moments.drift, mean_drift(paired, columns));
}

TEST(MomentSums, WithoutAnyReferenceHaveNoDrift) {
  const std::size_t columns = 300;
  const auto rows = batches(Precision::f32, columns);
  MomentSums sums(columns, {.threads = 2});
  for (const auto& batch : rows) sums.add({nullptr, batch.replaced, batch.tokens});
  const auto moments = sums.take("model.gguf", kReaders);
  EXPECT_TRUE(moments.drift.empty());
  expect_near(moments.second, mean_products(rows, &Batch::replaced, columns));
}

void expect_refused(const Batch& batch, std::size_t columns) {
  try {
    MomentSums sums(columns, {.threads = 2});
    sums.add(batch.rows());
    sums.take("model.gguf", kReaders);
    FAIL();
  } catch (const BadFileError& error) {
    const std::string what = error.what();
    EXPECT_EQ(error.place().file, "model.gguf");
    EXPECT_EQ(error.place().tensor, "blk.0.attn_q.weight, blk.0.attn_k.weight");
    EXPECT_NE(what.find("column 290"), std::string::npos) << what;
  }
}

TEST(MomentSums, OfOverflowingActivationsAreRefusedNamingTheLinears) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {kNan, kInfinity, 1e30f}) {
    Batch batch(Precision::f32, 8, 300, 1);
    batch.replaced.store(5, 290, std::span(&bad, 1));
    expect_refused(batch, 300);
  }
  for (const float bad : {kNan, kInfinity}) {
    Batch batch(Precision::f32, 8, 300, 1);
    batch.reference.store(5, 290, std::span(&bad, 1));
    expect_refused(batch, 300);
  }
}

}  // namespace
}  // namespace tessera
