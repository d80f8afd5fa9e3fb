// The models of testdata/forward with what PyTorch computes from them (tools/make_golden_forward.py).
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "foundation/tensor/weight_source.h"
#include "model/forward/decoder_config.h"
#include "model/forward/forward_pass.h"
#include "model/source/open_model.h"

namespace tessera::testing {

/// Tensors of a safetensors file, read whole.
class GoldenTensors {
 public:
  explicit GoldenTensors(const std::string& path);

  std::vector<float> floats(const std::string& name) const;
  std::vector<std::int32_t> integers(const std::string& name) const;
  std::vector<std::uint64_t> shape(const std::string& name) const;
  /// Names that begin with `prefix`, without it.
  std::vector<std::string> names(const std::string& prefix) const;

 private:
  std::vector<std::byte> bytes(const std::string& name) const;
  std::unique_ptr<WeightSource> source_;
};

struct GoldenModel {
  explicit GoldenModel(const std::string& name);
  GoldenModel(const std::string& figures, const std::string& weights,
              const model::OpenSettings& settings = {});

  model::TokenBatch batch() const { return {tokens, context}; }

  std::string folder;  ///< of the figures
  model::OpenedModel model;
  model::DecoderConfig config;
  GoldenTensors golden;
  std::vector<std::int32_t> tokens;
  std::size_t context;
};

/// Names of all golden models.
std::vector<std::string> golden_models();
/// Of those without mixtures of experts.
std::vector<std::string> dense_golden_models();

/// What GoogleTest calls the tests of a golden model: names with letters, digits and underscores alone.
std::string name_of_golden(const ::testing::TestParamInfo<std::string>& golden);

/// Logits of all windows at the golden positions.
std::vector<float> logits_of(const GoldenModel& golden, const model::ForwardSettings& settings);

/// Root of the squared difference over the root of the squared expectation.
double relative_error(const std::vector<float>& expected, const std::vector<float>& actual);

}  // namespace tessera::testing
