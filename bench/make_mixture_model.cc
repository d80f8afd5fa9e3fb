// Makes a mixture of experts of a dense llama model whose weights were trained, so that its activations are
// those of trained weights.
//
//   make_mixture_model ../shared/models/small -o mixture.gguf --experts 6 --used 3
//
// The neurons of every feed-forward block (rows of gate and up, columns of down) are divided into as many
// equal experts, those together whose gate rows point the same way (balanced k-means under the cosine, as
// Zhang et al. 2022, "MoEfication", arXiv 2110.01786). The router's row of an expert is the mean of its unit
// gate rows, so that a token passes the experts whose gates it opens widest; rows are kept so short that the
// weights of the chosen experts are nearly equal, and down is multiplied by the number of those. With all
// experts used the model computes what it did; with some, what those add to the block's output.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <numeric>
#include <string>
#include <vector>

#include "foundation/base/error.h"
#include "foundation/codecs/codec.h"
#include "foundation/codecs/decode_finite.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "foundation/kernels/vector_math.h"
#include "model/forward/decoder_config.h"
#include "model/source/open_model.h"

namespace tessera {
namespace {

constexpr int kIterations = 20;
/// Logits of a token differ by about this much among experts.
constexpr float kRouterScale = 1e-2f;

struct Options {
  std::string model, output;
  std::uint32_t experts = 6;
  std::uint32_t used = 3;
};

/// A matrix, [rows, columns].
struct Weights {
  std::vector<float> values;
  std::size_t columns = 0;

  std::size_t rows() const { return values.size() / columns; }
  std::span<const float> row(std::size_t index) const {
    return std::span(values).subspan(index * columns, columns);
  }
};

Weights read(const WeightSource& source, const std::string& name) {
  const auto index = source.find(name);
  if (!index) throw BadFileError({.file = source.name(), .tensor = name}, "this tensor is missing");
  const auto& tensor = source.tensors()[*index];
  Weights weights{std::vector<float>(tensor.weights()), tensor.columns()};
  std::vector<std::byte> scratch;
  codecs::decode_finite(source, *index, 0, source.stored_rows(*index, {0, tensor.rows()}, scratch),
                        weights.values);
  return weights;
}

Weights unit_rows(Weights weights) {
  for (std::size_t row = 0; row < weights.rows(); ++row) {
    const auto values = std::span(weights.values).subspan(row * weights.columns, weights.columns);
    const float length = std::sqrt(kernels::dot(values, values));
    if (length == 0) continue;
    for (float& value : values) value /= length;
  }
  return weights;
}

/// Means of the rows of each group, of which `groups` lists rows.
Weights means_of(const Weights& rows, const std::vector<std::vector<std::size_t>>& groups) {
  Weights means{std::vector<float>(groups.size() * rows.columns), rows.columns};
  for (std::size_t x = 0; x < groups.size(); ++x) {
    const auto mean = std::span(means.values).subspan(x * rows.columns, rows.columns);
    for (const std::size_t row : groups[x])
      kernels::add_scaled(rows.row(row), 1.0f / static_cast<float>(groups[x].size()), mean);
  }
  return means;
}

/// Equal groups of rows: the closest pairs of a row and a mean come first, as long as the group has room.
std::vector<std::vector<std::size_t>> assign(const Weights& rows, const Weights& means) {
  struct Pair {
    float likeness;
    std::size_t row, group;
  };
  std::vector<Pair> pairs;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    for (std::size_t x = 0; x < means.rows(); ++x)
      pairs.push_back({kernels::dot(rows.row(row), means.row(x)), row, x});
  }
  std::ranges::stable_sort(pairs, [](const Pair& a, const Pair& b) { return a.likeness > b.likeness; });
  std::vector<std::vector<std::size_t>> groups(means.rows());
  std::vector<bool> is_taken(rows.rows());
  for (const auto& pair : pairs) {
    if (is_taken[pair.row] || groups[pair.group].size() == rows.rows() / means.rows()) continue;
    groups[pair.group].push_back(pair.row);
    is_taken[pair.row] = true;
  }
  return groups;
}

std::vector<std::vector<std::size_t>> experts_of(const Weights& gate, std::size_t experts) {
  std::vector<std::vector<std::size_t>> groups(experts);
  for (std::size_t row = 0; row < gate.rows(); ++row) groups[row % experts].push_back(row);
  for (int i = 0; i < kIterations; ++i) groups = assign(gate, unit_rows(means_of(gate, groups)));
  for (auto& group : groups) std::ranges::sort(group);
  return groups;
}

std::string stacked(std::string name) { return name.insert(name.rfind(".weight"), "_exps"); }

std::vector<TensorDescriptor> mixture_tensors(const WeightSource& source, const Options& options) {
  std::vector<TensorDescriptor> tensors;
  for (const auto& tensor : source.tensors()) {
    const bool is_down = tensor.name.ends_with(".ffn_down.weight");
    const bool is_gate = tensor.name.ends_with(".ffn_gate.weight");
    if (!is_down && !is_gate && !tensor.name.ends_with(".ffn_up.weight")) {
      tensors.push_back(tensor);
      continue;
    }
    const std::uint64_t rows = tensor.rows(), columns = tensor.columns(), n = options.experts;
    const std::vector<std::uint64_t> shape =
        is_down ? std::vector{n, rows, columns / n} : std::vector{n, rows / n, columns};
    tensors.push_back({stacked(tensor.name), tensor.type, shape});
    if (is_gate) {
      const auto block = tensor.name.substr(0, tensor.name.rfind("ffn_gate"));
      tensors.push_back({block + "ffn_gate_inp.weight", ElementType::F32, {n, columns}});
    }
  }
  return tensors;
}

class MixtureWriter {
 public:
  MixtureWriter(const model::OpenedModel& model, const Options& options)
      : source_(*model.weights), options_(options) {
    const auto config = model::read_decoder_config(model);
    if (model.metadata.text("general.architecture") != "llama" || config.mixture)
      throw UsageError(options.model + ": not a dense llama model");
    if (config.feed_forward % options.experts != 0)
      throw UsageError("the experts must divide the width of the feed-forward block");
    layers_ = config.layers;
    auto metadata = model.metadata;
    metadata.set("llama.expert_count", options.experts);
    metadata.set("llama.expert_used_count", options.used);
    metadata.set("llama.feed_forward_length", config.feed_forward / options.experts);
    sink_ = gguf::create_gguf(options.output, metadata, mixture_tensors(source_, options));
  }

  void write() {
    for (std::size_t i = 0; i < sink_->tensors().size(); ++i) {
      const auto found = source_.find(sink_->tensors()[i].name);
      if (!found) continue;
      std::vector<std::byte> scratch;
      sink_->write_rows(i, 0, source_.stored_rows(*found, {0, sink_->tensors()[i].rows()}, scratch));
    }
    for (std::uint32_t layer = 0; layer < layers_; ++layer) write_layer("blk." + std::to_string(layer) + ".");
    sink_->commit();
  }

 private:
  void write_layer(const std::string& block) {
    const auto gate = read(source_, block + "ffn_gate.weight");
    const auto unit = unit_rows(gate);
    const auto groups = experts_of(unit, options_.experts);
    auto router = unit_rows(means_of(unit, groups));
    for (float& value : router.values) value *= kRouterScale;
    write_rows(block + "ffn_gate_inp.weight", router);
    write_rows(block + "ffn_gate_exps.weight", rows_of(gate, groups));
    write_rows(block + "ffn_up_exps.weight", rows_of(read(source_, block + "ffn_up.weight"), groups));
    write_rows(block + "ffn_down_exps.weight", columns_of(read(source_, block + "ffn_down.weight"), groups));
  }

  static Weights rows_of(const Weights& matrix, const std::vector<std::vector<std::size_t>>& groups) {
    Weights result{{}, matrix.columns};
    for (const auto& group : groups) {
      for (const std::size_t row : group)
        result.values.insert(result.values.end(), matrix.row(row).begin(), matrix.row(row).end());
    }
    return result;
  }

  /// Times the number of experts that are used.
  Weights columns_of(const Weights& matrix, const std::vector<std::vector<std::size_t>>& groups) const {
    Weights result{{}, groups.front().size()};
    for (const auto& group : groups) {
      for (std::size_t row = 0; row < matrix.rows(); ++row) {
        for (const std::size_t column : group)
          result.values.push_back(static_cast<float>(options_.used) * matrix.row(row)[column]);
      }
    }
    return result;
  }

  void write_rows(const std::string& name, const Weights& weights) {
    const auto tensors = sink_->tensors();
    const auto place =
        std::ranges::find(tensors, name, [](const TensorDescriptor& tensor) { return tensor.name; });
    std::vector<std::byte> bytes(place->bytes());
    codecs::codec_for(place->type).encode({weights.values, weights.columns, {}}, bytes);
    sink_->write_rows(static_cast<std::size_t>(place - tensors.begin()), 0, bytes);
  }

  const WeightSource& source_;
  const Options& options_;
  std::uint32_t layers_ = 0;
  std::unique_ptr<TensorSink> sink_;
};

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) try {
  tessera::Options options;
  CLI::App program("Makes a mixture of experts of a dense llama model.", "make_mixture_model");
  program.add_option("model", options.model, "GGUF file or Hugging Face folder")->required();
  program.add_option("-o,--output", options.output, "GGUF file to write")->required();
  program.add_option("--experts", options.experts, "Of a layer; they divide its feed-forward width")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  program.add_option("--used", options.used, "Of them by a token")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  CLI11_PARSE(program, argc, argv);
  const auto model = tessera::model::open_model(options.model);
  tessera::MixtureWriter(model, options).write();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "make_mixture_model: %s\n", error.what());
  return 1;
}
