#include "model/forward/layer_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "foundation/base/error.h"
#include "foundation/base/parallel.h"
#include "foundation/base/printable.h"
#include "foundation/codecs/codec.h"
#include "foundation/kernels/gemm.h"
#include "foundation/kernels/squared_error.h"
#include "foundation/kernels/vector_math.h"
#include "model/architecture/tensor_role.h"
#include "model/source/int8_weights.h"

namespace tessera::model {
namespace {

/// Rows that are decoded at a time hold about this many weights: they stay in the level-2 cache.
constexpr std::uint64_t kChunkWeights = 64 * 1024;

struct Scratch {
  std::vector<std::byte> stored;
  std::vector<float> weights;
};

/// Rows of a tensor as float32, in `scratch`.
std::span<const float> decode(const WeightSource& source, std::size_t tensor, RowRange rows,
                              Scratch& scratch) {
  const auto& descriptor = source.tensors()[tensor];
  const auto bytes = source.stored_rows(tensor, rows, scratch.stored);
  scratch.weights.resize(static_cast<std::size_t>(rows.count * descriptor.columns()));
  codecs::codec_for(descriptor.type).decode(bytes, scratch.weights);
  if (const auto place = kernels::find_non_finite(scratch.weights)) {
    throw BadFileError({.file = source.name(), .tensor = printable(descriptor.name)},
                       fmt::format("row {}, column {} is {}; the model is damaged",
                                   rows.first + *place / descriptor.columns(), *place % descriptor.columns(),
                                   scratch.weights[*place]));
  }
  return scratch.weights;
}

}  // namespace

LayerWeights without_matrices(const LayerWeights& weights) {
  const auto bare = [](const Linear& linear) {
    return Linear{.tensor = linear.tensor, .weight = {}, .bias = linear.bias};
  };
  return {.attention_norm = weights.attention_norm,
          .query = bare(weights.query),
          .key = bare(weights.key),
          .value = bare(weights.value),
          .query_norm = weights.query_norm,
          .key_norm = weights.key_norm,
          .attention_output = bare(weights.attention_output),
          .ffn_norm = weights.ffn_norm,
          .gate = bare(weights.gate),
          .up = bare(weights.up),
          .down = bare(weights.down),
          .mixture = {weights.mixture.router, {}, weights.mixture.shared_gate}};
}

void require_float_linears(const WeightSource& source) {
  for (const auto& tensor : source.tensors()) {
    if (tensor.type != ElementType::I8) continue;
    throw BadFileError({.file = source.name(), .tensor = printable(tensor.name)},
                       "it is a W8A8 linear's, which this walk cannot take; start from the original model");
  }
}

WeightLoader::WeightLoader(const WeightSource& source, const DecoderConfig& config,
                           kernels::Precision precision, int threads)
    : source_(source), config_(config), precision_(precision), threads_(threads) {}

LayerWeights WeightLoader::layer(std::uint32_t layer) const {
  const std::string block = fmt::format("blk.{}.", layer);
  const std::uint64_t embedding = config_.embedding;
  LayerWeights weights;
  weights.attention_norm = vector(block + "attn_norm.weight", embedding);
  weights.query = linear(block + "attn_q", config_.query_width(), embedding);
  weights.key = linear(block + "attn_k", config_.key_value_width(), embedding);
  weights.value = linear(block + "attn_v", config_.key_value_width(), embedding);
  weights.query_norm = optional_vector(block + "attn_q_norm.weight", config_.head_size);
  weights.key_norm = optional_vector(block + "attn_k_norm.weight", config_.head_size);
  weights.attention_output = linear(block + "attn_output", embedding, config_.query_width());
  weights.ffn_norm = vector(block + "ffn_norm.weight", embedding);
  if (config_.feed_forward > 0) {
    const std::string_view end = config_.mixture ? "_shexp" : "";
    weights.gate = linear(fmt::format("{}ffn_gate{}", block, end), config_.feed_forward, embedding);
    weights.up = linear(fmt::format("{}ffn_up{}", block, end), config_.feed_forward, embedding);
    weights.down = linear(fmt::format("{}ffn_down{}", block, end), embedding, config_.feed_forward);
  }
  if (config_.mixture) weights.mixture = mixture(layer);
  return weights;
}

ExpertMixture WeightLoader::mixture(std::uint32_t layer) const {
  const std::string block = fmt::format("blk.{}.", layer);
  ExpertMixture mixture;
  mixture.router = router(block + "ffn_gate_inp.weight", config_.mixture->experts);
  mixture.experts = experts(layer, 0, config_.mixture->experts);
  if (config_.feed_forward > 0) mixture.shared_gate = router(block + "ffn_gate_inp_shexp.weight", 1);
  return mixture;
}

std::vector<Expert> WeightLoader::experts(std::uint32_t layer, std::size_t first, std::size_t count) const {
  const std::string block = fmt::format("blk.{}.", layer);
  const MatrixShape inward{config_.mixture->feed_forward, config_.embedding};
  const MatrixShape outward{inward.columns, inward.rows};
  std::vector<Expert> experts(count);
  load_experts(block + "ffn_gate_exps.weight", &Expert::gate, inward, first, experts);
  load_experts(block + "ffn_up_exps.weight", &Expert::up, inward, first, experts);
  load_experts(block + "ffn_down_exps.weight", &Expert::down, outward, first, experts);
  return experts;
}

Router WeightLoader::router(const std::string& name, std::uint64_t rows) const {
  return {require(name, rows, config_.embedding), values(name, rows, config_.embedding)};
}

void WeightLoader::load_experts(const std::string& name, Linear Expert::*linear, const MatrixShape& shape,
                                std::size_t first, std::vector<Expert>& experts) const {
  const std::size_t tensor = require(name, config_.mixture->experts * shape.rows, shape.columns);
  for (std::size_t x = 0; x < experts.size(); ++x) {
    (experts[x].*linear).tensor = tensor;
    (experts[x].*linear).weight = matrix(tensor, {(first + x) * shape.rows, shape.rows});
  }
}

OutputWeights WeightLoader::output() const {
  OutputWeights weights;
  weights.norm = output_norm();
  weights.output = linear(output_stem(), config_.vocabulary, config_.embedding);
  return weights;
}

std::vector<float> WeightLoader::output_norm() const {
  return vector("output_norm.weight", config_.embedding);
}

std::size_t WeightLoader::output_tensor() const {
  return require(output_stem() + ".weight", config_.vocabulary, config_.embedding);
}

std::string WeightLoader::output_stem() const { return config_.tied_output ? "token_embd" : "output"; }

void WeightLoader::embed(std::span<const std::int32_t> tokens, std::span<float> result) const {
  Scratch scratch;
  const auto tensor = require("token_embd.weight", config_.vocabulary, config_.embedding);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const RowRange row{static_cast<std::uint64_t>(tokens[i]), 1};
    std::ranges::copy(decode(source_, tensor, row, scratch),
                      kernels::row_of(result, i, config_.embedding).begin());
  }
}

void WeightLoader::release_embedding() const {
  source_.discard(require("token_embd.weight", config_.vocabulary, config_.embedding),
                  {0, config_.vocabulary});
}

std::uint64_t WeightLoader::layer_bytes(std::uint32_t layer) const {
  std::uint64_t bytes = 0;
  for (const auto& tensor : source_.tensors()) {
    if (place_of(tensor.name).layer == layer) bytes += tensor.bytes();
  }
  return bytes;
}

std::size_t WeightLoader::locate(const std::string& name, std::uint64_t rows, std::uint64_t columns) const {
  const auto found = source_.find(name);
  if (!found) throw BadFileError({.file = source_.name(), .tensor = name}, "this tensor is missing");
  const auto& tensor = source_.tensors()[*found];
  if (tensor.columns() != columns || tensor.rows() != rows) {
    throw BadFileError({.file = source_.name(), .tensor = name},
                       fmt::format("the shape is [{}], by the metadata it should be [{}, {}]",
                                   fmt::join(tensor.shape, ", "), rows, columns));
  }
  return *found;
}

std::size_t WeightLoader::require(const std::string& name, std::uint64_t rows, std::uint64_t columns) const {
  const std::size_t found = locate(name, rows, columns);
  const auto& tensor = source_.tensors()[found];
  if (!is_weight_type(tensor.type)) {
    throw BadFileError({.file = source_.name(), .tensor = name},
                       fmt::format("it is stored as {}, which holds no weights", name_of(tensor.type)));
  }
  return found;
}

Linear WeightLoader::linear(const std::string& stem, std::uint64_t rows, std::uint64_t columns) const {
  Linear result;
  const std::string name = stem + ".weight";
  result.tensor = locate(name, rows, columns);
  if (source_.tensors()[result.tensor].type == ElementType::I8) {
    result.int8_weight = int8_matrix(result.tensor);
  } else {
    result.weight = matrix(require(name, rows, columns), {0, rows});
  }
  result.bias = optional_vector(stem + ".bias", rows);
  return result;
}

std::vector<float> WeightLoader::values(const std::string& name, std::uint64_t rows,
                                        std::uint64_t columns) const {
  Scratch scratch;
  const auto values = decode(source_, require(name, rows, columns), {0, rows}, scratch);
  return {values.begin(), values.end()};
}

std::vector<float> WeightLoader::vector(const std::string& name, std::uint64_t size) const {
  return values(name, 1, size);
}

std::vector<float> WeightLoader::optional_vector(const std::string& name, std::uint64_t size) const {
  return source_.find(name) ? vector(name, size) : std::vector<float>();
}

template <class Visit>
void WeightLoader::for_each_chunk(std::size_t tensor, const RowRange& rows, const Visit& visit) const {
  const auto& descriptor = source_.tensors()[tensor];
  const std::uint64_t step = std::max<std::uint64_t>(1, kChunkWeights / descriptor.columns());
  std::vector<Scratch> scratches(static_cast<std::size_t>(resolve_threads(threads_)));
  parallel_for((rows.count + step - 1) / step, threads_, [&](std::size_t chunk, int worker) {
    const RowRange range{rows.first + chunk * step, std::min(step, rows.count - chunk * step)};
    visit(range, scratches[static_cast<std::size_t>(worker)]);
    source_.discard(tensor, range);
  });
}

kernels::Matrix WeightLoader::matrix(std::size_t tensor, const RowRange& rows) const {
  const auto& descriptor = source_.tensors()[tensor];
  kernels::Matrix result(precision_, rows.count, descriptor.columns());
  for_each_chunk(tensor, rows, [&](const RowRange& piece, Scratch& scratch) {
    result.store(piece.first - rows.first, decode(source_, tensor, piece, scratch));
  });
  return result;
}

kernels::Int8Matrix WeightLoader::int8_matrix(std::size_t tensor) const {
  const auto& descriptor = source_.tensors()[tensor];
  if (descriptor.columns() >= kernels::kMostByteTerms) {
    throw BadFileError({.file = source_.name(), .tensor = printable(descriptor.name)},
                       fmt::format("it has {} columns; sums of more than {} products overflow",
                                   descriptor.columns(), kernels::kMostByteTerms - 1));
  }
  auto scales = read_int8_scales(source_, tensor);
  kernels::Int8Matrix result(std::move(scales.rows), descriptor.columns(), scales.input);
  for_each_chunk(tensor, {0, descriptor.rows()}, [&](const RowRange& rows, Scratch& scratch) {
    const auto codes = source_.stored_rows(tensor, rows, scratch.stored);
    result.store(rows.first, {reinterpret_cast<const std::int8_t*>(codes.data()), codes.size()});
  });
  return result;
}

}  // namespace tessera::model
