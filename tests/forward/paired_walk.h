// Walks of golden models with long windows: by the forward pass, and by the paired pass with some linears
// replaced.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "forward/golden_model.h"
#include "foundation/tensor/replaced_tensor.h"
#include "model/architecture/tensor_role.h"
#include "model/forward/paired_pass.h"
#include "tensor/memory_source.h"

namespace tessera::testing {

/// More than a tile, and no multiple of one.
inline constexpr std::size_t kContext = 300;
inline constexpr std::size_t kWindows = 5;

/// What one stream was seen to do.
struct Walk {
  std::map<std::size_t, std::vector<float>> inputs;  ///< by reading tensor: [windows * context, in]
  /// By stacking tensor and expert: [tokens that pass it, in].
  std::map<std::pair<std::size_t, std::size_t>, std::vector<float>> expert_inputs;
  std::vector<std::vector<std::byte>> states;  ///< at every layer boundary

  bool operator==(const Walk&) const = default;

  void keep(const model::HiddenStates& hidden) {
    states.emplace_back(hidden.bytes().begin(), hidden.bytes().end());
  }
};

/// Both streams' walks.
struct PairedWalk {
  Walk reference;
  Walk replaced;
};

class Recorder : public model::ForwardObserver {
 public:
  Recorder(Walk& walk, const WeightSource& source) : walk_(walk), source_(source) {}

  void linear_input(const model::LinearInput& input) override {
    const std::size_t columns = input.rows.columns();
    for (const std::size_t tensor : input.tensors) {
      if (input.expert) {
        auto& rows = walk_.expert_inputs[{tensor, *input.expert}];
        rows.resize(rows.size() + input.tokens * columns);
        input.rows.load(input.first_row, std::span(rows).last(input.tokens * columns));
        continue;
      }
      if (model::place_of(source_.tensors()[tensor].name).role == model::TensorRole::router) continue;
      auto& rows = walk_.inputs[tensor];
      rows.resize(kWindows * kContext * columns);
      const std::size_t row = input.place.window * kContext + input.place.first_position;
      input.rows.load(input.first_row, std::span(rows).subspan(row * columns, input.tokens * columns));
    }
  }

 private:
  Walk& walk_;
  const WeightSource& source_;
};

/// A golden model with longer windows, made of the golden tokens over and over.
struct LongModel : GoldenModel {
  explicit LongModel(const std::string& name) : GoldenModel(name) {
    const auto short_text = tokens;
    tokens.resize(kWindows * kContext);
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = short_text[i * 7 % short_text.size()];
    context = kContext;
  }
};

inline Walk forward_walk(const LongModel& model, const WeightSource& source, kernels::Precision precision) {
  model::ForwardPass pass(source, model.config, model.batch(), {.precision = precision, .threads = 1});
  const StopFlag never;
  Walk walk;
  Recorder recorder(walk, source);
  pass.embed();
  walk.keep(pass.states());
  for (std::uint32_t layer = 0; layer < model.config.layers; ++layer) {
    pass.run_layer(pass.loader().layer(layer), layer, &recorder, never);
    walk.keep(pass.states());
  }
  pass.observe_output(recorder, never);
  return walk;
}

/// Weights to replace a tensor by, or none.
using Replacements = std::map<std::size_t, std::vector<float>>;

inline void append(const kernels::Matrix& matrix, std::size_t tokens, std::vector<float>& rows) {
  rows.resize(rows.size() + tokens * matrix.columns());
  matrix.load(0, std::span(rows).last(tokens * matrix.columns()));
}

/// Shows all experts of a layer, and replaces them.
inline void show_experts(model::PairedPass& pass, const Replacements& replacements, PairedWalk& walk) {
  const StopFlag never;
  for (const auto input : model::kExpertInputs) {
    for (std::size_t expert = 0; expert < pass.expert_tokens().size(); ++expert) {
      pass.show_expert(
          input, expert,
          [&](const model::PairedRows& rows) {
            for (const std::size_t tensor : pass.expert_readers(input)) {
              if (rows.reference != nullptr)
                append(*rows.reference, rows.tokens, walk.reference.expert_inputs[{tensor, expert}]);
              append(rows.replaced, rows.tokens, walk.replaced.expert_inputs[{tensor, expert}]);
            }
          },
          never);
      for (const std::size_t tensor : pass.expert_readers(input)) {
        const auto found = replacements.find(tensor);
        if (found == replacements.end()) continue;
        const std::size_t size = found->second.size() / pass.expert_tokens().size();
        pass.replace_expert(tensor, expert, std::span(found->second).subspan(expert * size, size));
      }
    }
  }
}

inline PairedWalk paired_walk(const LongModel& model, const Replacements& replacements,
                              const model::PairedSettings& settings) {
  model::PairedPass pass(*model.model.weights, model.config, model.batch(), settings);
  const StopFlag never;
  PairedWalk walk;
  const auto keep = [&] {
    walk.reference.keep(pass.reference());
    walk.replaced.keep(pass.replaced());
  };
  const auto recorder = [&](std::vector<std::size_t> readers) {
    return [&walk, readers](const model::PairedRows& rows) {
      for (const std::size_t tensor : readers) {
        if (rows.reference != nullptr) append(*rows.reference, rows.tokens, walk.reference.inputs[tensor]);
        append(rows.replaced, rows.tokens, walk.replaced.inputs[tensor]);
      }
    };
  };
  pass.embed();
  keep();
  for (std::uint32_t layer = 0; layer < model.config.layers; ++layer) {
    pass.begin_layer(layer);
    for (const auto input : model::kLayerInputs) {
      const auto readers = pass.readers(input);
      pass.show(input, recorder(readers), never);
      for (const std::size_t tensor : readers) {
        if (replacements.contains(tensor)) pass.replace(tensor, replacements.at(tensor));
      }
    }
    if (model.config.mixture) show_experts(pass, replacements, walk);
    pass.end_layer(never);
    keep();
  }
  pass.show_output(recorder({pass.output_reader()}), never);
  return walk;
}

inline std::vector<float> other_weights(const WeightSource& source, std::size_t tensor) {
  const auto& descriptor = source.tensors()[tensor];
  return normal_weights(descriptor.rows() * descriptor.columns(), static_cast<unsigned>(tensor));
}

/// Other weights for some linears of every layer, where it has them.
inline Replacements replace(const LongModel& model, const std::vector<std::string>& linears) {
  const WeightSource& source = *model.model.weights;
  Replacements replacements;
  for (std::uint32_t layer = 0; layer < model.config.layers; ++layer) {
    for (const auto& linear : linears) {
      const auto tensor = source.find("blk." + std::to_string(layer) + "." + linear + ".weight");
      if (tensor) replacements[*tensor] = other_weights(source, *tensor);
    }
  }
  return replacements;
}

/// The walk of a model that has the replacements as its own weights.
inline Walk replaced_forward_walk(const LongModel& model, const Replacements& replacements,
                                  kernels::Precision precision) {
  std::vector<std::unique_ptr<ReplacedTensor>> sources;
  const WeightSource* last = model.model.weights.get();
  for (const auto& [tensor, weights] : replacements) {
    std::vector<std::byte> bytes(weights.size() * sizeof(float));
    std::memcpy(bytes.data(), weights.data(), bytes.size());
    sources.push_back(std::make_unique<ReplacedTensor>(*last, tensor, ElementType::F32, std::move(bytes)));
    last = sources.back().get();
  }
  return forward_walk(model, *last, precision);
}

inline const std::vector<std::string> kAllLinears = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                     "ffn_gate", "ffn_up", "ffn_down"};
inline const std::vector<std::string> kAllOfMixtures = {
    "attn_q",      "attn_k",        "attn_v",         "attn_output",  "ffn_gate_exps",
    "ffn_up_exps", "ffn_down_exps", "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"};

}  // namespace tessera::testing
