// A mixture of experts made of the demo model: trained weights, and routing that tests can count on.
#pragma once

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "foundation/codecs/codec.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "model/architecture/tensor_role.h"
#include "model/source/open_model.h"
#include "pipeline/demo_model.h"

namespace tessera::testing {

/// Of the demo model's, so that tests take less time.
inline constexpr std::uint32_t kMixtureLayers = 2;
inline constexpr std::uint64_t kMixtureExperts = 5;
inline constexpr std::uint64_t kMixtureWidth = 256;
/// No token passes it.
inline constexpr std::uint64_t kDeadExpert = 4;

/// Router rows v, -v, w, -w and 0: the two largest of their products with a token are |v m| and |w m|, so
/// that a token passes one of the first two experts and one of the next two. Nearly all tokens of the demo
/// text pass the same one of these, which makes experts of many and of few tokens.
inline std::vector<float> mixture_router(std::uint64_t columns) {
  std::vector<float> rows(kMixtureExperts * columns);
  for (std::uint64_t c = 0; c < columns; ++c) {
    const float v = c % 2 == 0 ? 0.02f : -0.02f;
    const float w = c % 3 == 0 ? 0.02f : -0.01f;
    const float signs[kMixtureExperts] = {v, -v, w, -w, 0};
    for (std::uint64_t x = 0; x < kMixtureExperts; ++x) rows[x * columns + c] = signs[x];
  }
  return rows;
}

inline std::string stacked_name(std::string name) { return name.insert(name.rfind(".weight"), "_exps"); }

/// The tensors of the mixture, and of each the tensor of the demo model that it is made of (its own index
/// where it is a router).
struct MixtureTensors {
  std::vector<TensorDescriptor> tensors;
  std::vector<std::size_t> sources;
};

inline MixtureTensors mixture_tensors(const WeightSource& source) {
  MixtureTensors result;
  for (std::size_t i = 0; i < source.tensors().size(); ++i) {
    const auto& tensor = source.tensors()[i];
    if (model::place_of(tensor.name).layer.value_or(0) >= kMixtureLayers) continue;
    result.sources.push_back(i);
    if (tensor.name.find(".ffn_") == std::string::npos || tensor.shape.size() != 2) {
      result.tensors.push_back(tensor);
      continue;
    }
    const bool is_down = tensor.name.ends_with("ffn_down.weight");
    const std::vector<std::uint64_t> shape = {kMixtureExperts, is_down ? tensor.rows() : kMixtureWidth,
                                              is_down ? kMixtureWidth : tensor.columns()};
    result.tensors.push_back({stacked_name(tensor.name), tensor.type, shape});
    if (!is_down && tensor.name.ends_with("ffn_gate.weight")) {
      const auto block = tensor.name.substr(0, tensor.name.rfind("ffn_gate"));
      result.tensors.push_back(
          {block + "ffn_gate_inp.weight", ElementType::F32, {kMixtureExperts, tensor.columns()}});
      result.sources.push_back(i);
    }
  }
  return result;
}

/// Expert x has neurons from 256 (x mod 3) on.
inline std::vector<std::byte> mixture_bytes(const WeightSource& source, std::size_t index,
                                            const TensorDescriptor& target) {
  const auto& tensor = source.tensors()[index];
  std::vector<std::byte> scratch, bytes(target.bytes());
  const auto stored = source.stored_rows(index, {0, tensor.rows()}, scratch);
  if (target.name.ends_with("ffn_gate_inp.weight")) {
    const auto router = mixture_router(target.columns());
    std::memcpy(bytes.data(), router.data(), bytes.size());
    return bytes;
  }
  if (target.shape.size() < 3) return {stored.begin(), stored.end()};
  const std::size_t row = row_bytes(tensor.type, tensor.columns());
  const std::size_t piece = row_bytes(target.type, target.columns());
  const bool is_down = target.columns() == kMixtureWidth && tensor.columns() != kMixtureWidth;
  for (std::uint64_t i = 0; i < target.rows(); ++i) {
    const std::uint64_t expert = i / target.rows_per_matrix(), inside = i % target.rows_per_matrix();
    const std::uint64_t first = expert % 3 * kMixtureWidth;
    const std::size_t from = is_down ? inside * row + row_bytes(tensor.type, first) : (first + inside) * row;
    std::copy_n(stored.begin() + static_cast<std::ptrdiff_t>(from), piece,
                bytes.begin() + static_cast<std::ptrdiff_t>(i * piece));
  }
  return bytes;
}

inline void write_mixture(const std::filesystem::path& path) {
  const auto demo = model::open_model(kDemoModel);
  auto metadata = demo.metadata;
  metadata.set("llama.block_count", kMixtureLayers);
  metadata.set("llama.expert_count", static_cast<std::uint32_t>(kMixtureExperts));
  metadata.set("llama.expert_used_count", std::uint32_t{2});
  metadata.set("llama.feed_forward_length", static_cast<std::uint32_t>(kMixtureWidth));
  const auto plan = mixture_tensors(*demo.weights);
  const auto sink = gguf::create_gguf(path, metadata, plan.tensors);
  for (std::size_t i = 0; i < plan.tensors.size(); ++i)
    sink->write_rows(i, 0, mixture_bytes(*demo.weights, plan.sources[i], plan.tensors[i]));
  sink->commit();
}

}  // namespace tessera::testing
