// Quantizations of seconds for tests to vary: dynamic ones of the demo model, and those with error feedback.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/message_recorder.h"
#include "foundation/formats/gguf/gguf_file.h"
#include "pipeline/demo_model.h"
#include "pipeline/quantize.h"

namespace tessera::testing {

/// Every size is possible: all candidates of the profile for the smallest, and no rules.
inline QuantPolicy policy_without_floors() {
  auto policy = find_profile("compression-max");
  policy.rules.clear();
  return policy;
}

class DynamicRun : public ::testing::Test {
 protected:
  pipeline::QuantizeSettings settings(SizeTarget target = {SizeTarget::Kind::bits_per_weight, 2.5}) const {
    pipeline::QuantizeSettings settings{.model = kDemoModel, .output = folder_ / "out.gguf"};
    settings.dynamic = pipeline::DynamicSettings{.policy = find_profile("balanced"), .target = target};
    settings.walks.corpus = short_corpus(4);
    settings.walks.sensitivity_samples = 3;
    settings.walks.measured_samples = 2;
    settings.walks.precision = kernels::Precision::f32;
    settings.encode.threads = 2;
    return settings;
  }

  /// One type with error feedback for all linears, with a checkpoint after every step.
  pipeline::QuantizeSettings feedback_settings(const std::filesystem::path& model,
                                               const std::string& type) const {
    pipeline::QuantizeSettings settings{.model = model, .output = folder_ / "out.gguf", .type = type};
    settings.pure = true;
    settings.output_type = ElementType::F16;
    settings.token_embedding_type = ElementType::F16;
    settings.feedback.emplace();
    settings.walks.corpus = short_corpus(8);
    settings.walks.precision = kernels::Precision::f32;
    settings.walks.use_cache = false;
    settings.encode.threads = 2;
    settings.checkpoints.interval = std::chrono::milliseconds(0);
    return settings;
  }

  pipeline::QuantizeReport run(const pipeline::QuantizeSettings& settings) {
    return pipeline::quantize(settings, recorder_, never_);
  }

  /// The bytes that the run writes.
  std::string bytes_of(const pipeline::QuantizeSettings& settings) {
    run(settings);
    return read_whole(settings.output);
  }

  /// Of every tensor of a GGUF file: its type, and its bytes.
  static std::map<std::string, std::pair<ElementType, std::string>> tensors_in(
      const std::filesystem::path& file) {
    const auto gguf = gguf::open_gguf(file);
    std::map<std::string, std::pair<ElementType, std::string>> result;
    std::vector<std::byte> scratch;
    for (std::size_t i = 0; i < gguf->tensors().size(); ++i) {
      const auto& tensor = gguf->tensors()[i];
      const auto bytes = gguf->stored_rows(i, {0, tensor.rows()}, scratch);
      result[tensor.name] = {tensor.type, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
    }
    return result;
  }

  /// Whether the run read tokens or weights: nothing but hashing was begun.
  bool has_walked() const {
    return std::ranges::any_of(recorder_.stages,
                               [](const auto& stage) { return !stage.starts_with("hash"); });
  }

  ScratchFolder folder_;
  OwnCache cache_;
  MessageRecorder recorder_;
  StopFlag never_;
};

}  // namespace tessera::testing
