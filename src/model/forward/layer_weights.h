// The weights of one layer, of the embedding and of the output, decoded from whatever a WeightSource stores
// to what matrix products take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "foundation/kernels/int8_matrix.h"
#include "foundation/kernels/matrix.h"
#include "foundation/tensor/weight_source.h"
#include "model/forward/decoder_config.h"

namespace tessera::model {

/// y = x W^T + b.
struct Linear {
  std::size_t tensor = 0;   ///< of W in the WeightSource
  kernels::Matrix weight;   ///< [out, in]
  std::vector<float> bias;  ///< [out], or empty
  /// W of a W8A8 linear, [out, in], in place of `weight`: x W^T is computed in integers.
  std::optional<kernels::Int8Matrix> int8_weight = std::nullopt;

  std::size_t outputs() const { return int8_weight ? int8_weight->rows() : weight.rows(); }
  std::size_t inputs() const { return int8_weight ? int8_weight->columns() : weight.columns(); }
  /// Of W in memory.
  std::size_t bytes() const { return int8_weight ? int8_weight->bytes() : weight.bytes(); }
};

/// A few rows that are multiplied in float32 whatever the precision of the pass.
struct Router {
  std::size_t tensor = 0;     ///< in the WeightSource
  std::vector<float> weight;  ///< [rows, e], or empty
};

/// One feed-forward block of a mixture; g = MixtureConfig::feed_forward. The tensors are those that stack the
/// experts of the layer.
struct Expert {
  Linear gate;  ///< [g, e]
  Linear up;    ///< [g, e]
  Linear down;  ///< [e, g]
};

struct ExpertMixture {
  Router router;                ///< a row per expert
  std::vector<Expert> experts;  ///< empty in a dense model
  Router shared_gate;           ///< one row, or empty: no shared expert
};

/// Shapes by DecoderConfig: e = embedding, f = feed_forward, q = query_width, k = key_value_width.
struct LayerWeights {
  std::vector<float> attention_norm;  ///< [e]
  Linear query;                       ///< [q, e]
  Linear key;                         ///< [k, e]
  Linear value;                       ///< [k, e]
  std::vector<float> query_norm;      ///< [head_size], or empty
  std::vector<float> key_norm;        ///< [head_size], or empty
  Linear attention_output;            ///< [e, q]
  std::vector<float> ffn_norm;        ///< [e]
  Linear gate;                        ///< [f, e]; with up and down the shared expert of a mixture,
  Linear up;                          ///< [f, e]  all empty where it has none
  Linear down;                        ///< [e, f]
  ExpertMixture mixture = {};
};

/// The layer without the matrices of its linears and without experts, whose biases, norms and routers stay.
LayerWeights without_matrices(const LayerWeights& weights);

struct OutputWeights {
  std::vector<float> norm;  ///< [e]
  Linear output;            ///< [vocabulary, e]; the token embedding where the output is tied
};

/// Throws BadFileError when the model has W8A8 linears: for walks that know floating-point weights alone.
void require_float_linears(const WeightSource& source);

/// Reads weights. All functions throw BadFileError naming the tensor: missing, of a wrong shape, not
/// floating point, NaN or infinite.
class WeightLoader {
 public:
  /// `threads` as in parallel_for. Source and config outlive the loader.
  WeightLoader(const WeightSource& source, const DecoderConfig& config, kernels::Precision precision,
               int threads);

  LayerWeights layer(std::uint32_t layer) const;
  /// Of a layer of a mixture, which has all of them: the experts [first, first + count).
  std::vector<Expert> experts(std::uint32_t layer, std::size_t first, std::size_t count) const;
  OutputWeights output() const;
  /// The norm before the output matrix, [e], without the matrix.
  std::vector<float> output_norm() const;
  /// The tensor that serves as output matrix.
  std::size_t output_tensor() const;
  /// The embeddings of tokens of the vocabulary, [tokens, e].
  void embed(std::span<const std::int32_t> tokens, std::span<float> result) const;
  /// Says that no more embeddings are needed soon: their pages may leave memory.
  void release_embedding() const;

  /// Stored bytes of the tensors of one layer: the measure of progress.
  std::uint64_t layer_bytes(std::uint32_t layer) const;

  const WeightSource& source() const { return source_; }

 private:
  struct MatrixShape {
    std::uint64_t rows = 0;
    std::uint64_t columns = 0;
  };

  std::string output_stem() const;
  /// The tensor of this name and shape; require() wants one of floats, too.
  std::size_t locate(const std::string& name, std::uint64_t rows, std::uint64_t columns) const;
  std::size_t require(const std::string& name, std::uint64_t rows, std::uint64_t columns) const;
  ExpertMixture mixture(std::uint32_t layer) const;
  Router router(const std::string& name, std::uint64_t rows) const;
  /// Sets the given linear, [rows, columns], of `experts`, those of the stack from `first` on.
  void load_experts(const std::string& name, Linear Expert::*linear, const MatrixShape& shape,
                    std::size_t first, std::vector<Expert>& experts) const;
  Linear linear(const std::string& stem, std::uint64_t rows, std::uint64_t columns) const;
  std::vector<float> values(const std::string& name, std::uint64_t rows, std::uint64_t columns) const;
  std::vector<float> vector(const std::string& name, std::uint64_t size) const;
  std::vector<float> optional_vector(const std::string& name, std::uint64_t size) const;
  kernels::Matrix matrix(std::size_t tensor, const RowRange& rows) const;
  kernels::Int8Matrix int8_matrix(std::size_t tensor) const;
  /// Calls visit(piece, scratch) for all of these rows, in parallel, and gives their memory back.
  template <class Visit>
  void for_each_chunk(std::size_t tensor, const RowRange& rows, const Visit& visit) const;

  const WeightSource& source_;
  const DecoderConfig& config_;
  kernels::Precision precision_;
  int threads_;
};

}  // namespace tessera::model
