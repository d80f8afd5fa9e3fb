// Writes a synthetic Llama GGUF of a given number of weights, and an importance matrix for it.
//
//   make_model -o model.gguf --weights 200000000 --imatrix imatrix.gguf
//   make_model -o model.gguf --hidden 4096 --layers 20 --tokenizer small-f16.gguf
//
// For measuring speed and memory where no real model of that size is at hand. With --tokenizer it carries the
// vocabulary of another model, so that texts are as many tokens as there. Tensor shapes are those of a
// Llama model; values are near-Gaussian with a scale per row and per column and one outlier in a thousand, so
// that encoders take the same paths as on trained weights. Every value is a function of the seed and its
// place, so the file is the same on every machine and for any number of threads.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "foundation/base/error.h"
#include "foundation/base/parallel.h"
#include "foundation/formats/gguf/gguf_file.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#include "foundation/tensor/float16.h"

namespace tessera {
namespace {

constexpr std::uint64_t kHeadSize = 64;
constexpr std::uint64_t kHeadsPerKvHead = 4;
constexpr std::uint64_t kRowsPerChunk = 256;

/// Sizes of a Llama model. A layer has 2.5 d^2 weights in attention and 9 d^2 in its feed-forward part.
struct ModelShape {
  std::uint64_t hidden = 0;
  std::uint64_t layers = 0;
  std::uint64_t vocabulary = 0;

  std::uint64_t feed_forward() const { return 3 * hidden; }
  std::uint64_t kv_columns() const { return hidden / kHeadsPerKvHead; }
};

/// What was asked for; 0 stands for what is not said.
struct WantedShape {
  double weights = 25e6;
  std::uint64_t hidden = 0;
  std::uint64_t layers = 0;
  std::uint64_t vocabulary = 0;
};

/// Unless they are given: a vocabulary of 8 tokens per hidden dimension, the widest power of two that leaves
/// at least six layers, and the number of layers that comes nearest to `weights`.
ModelShape choose_shape(const WantedShape& wanted) {
  const auto vocabulary_at = [&](std::uint64_t hidden) {
    return wanted.vocabulary > 0 ? wanted.vocabulary : 8 * hidden;
  };
  const auto layers_at = [&](std::uint64_t hidden) {
    const auto d = static_cast<double>(hidden);
    return (wanted.weights - 2 * d * static_cast<double>(vocabulary_at(hidden))) / (11.5 * d * d);
  };
  std::uint64_t hidden = 256;
  while (hidden < 8192 && layers_at(2 * hidden) >= 6.0) hidden *= 2;
  if (wanted.hidden > 0) hidden = wanted.hidden;
  const auto layers = static_cast<std::uint64_t>(std::max(1.0, std::round(layers_at(hidden))));
  return {.hidden = hidden,
          .layers = wanted.layers > 0 ? wanted.layers : layers,
          .vocabulary = vocabulary_at(hidden)};
}

std::vector<TensorDescriptor> describe_tensors(const ModelShape& shape) {
  const std::uint64_t d = shape.hidden;
  const std::uint64_t f = shape.feed_forward();
  std::vector<TensorDescriptor> tensors;
  const auto matrix = [&](const std::string& name, std::uint64_t rows, std::uint64_t columns) {
    tensors.push_back({name, ElementType::F16, {rows, columns}});
  };
  const auto norm = [&](const std::string& name) { tensors.push_back({name, ElementType::F32, {d}}); };
  matrix("token_embd.weight", shape.vocabulary, d);
  norm("output_norm.weight");
  matrix("output.weight", shape.vocabulary, d);
  for (std::uint64_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    norm(prefix + "attn_norm.weight");
    matrix(prefix + "attn_q.weight", d, d);
    matrix(prefix + "attn_k.weight", shape.kv_columns(), d);
    matrix(prefix + "attn_v.weight", shape.kv_columns(), d);
    matrix(prefix + "attn_output.weight", d, d);
    norm(prefix + "ffn_norm.weight");
    matrix(prefix + "ffn_gate.weight", f, d);
    matrix(prefix + "ffn_up.weight", f, d);
    matrix(prefix + "ffn_down.weight", d, f);
  }
  return tensors;
}

/// A SentencePiece vocabulary of the right size: the three control tokens, all bytes, then made-up words.
void add_made_up_tokenizer(gguf::Metadata& metadata, std::uint64_t vocabulary) {
  std::vector<std::string> tokens{"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types{2, 3, 3};
  for (unsigned byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    tokens.emplace_back(text);
    types.push_back(6);
  }
  while (tokens.size() < vocabulary) {
    tokens.push_back("w" + std::to_string(tokens.size()));
    types.push_back(1);
  }
  std::vector<float> scores(tokens.size());
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
  metadata.set("tokenizer.ggml.model", std::string("llama"));
  metadata.set("tokenizer.ggml.tokens", gguf::Array(std::move(tokens)));
  metadata.set("tokenizer.ggml.scores", gguf::Array(std::move(scores)));
  metadata.set("tokenizer.ggml.token_type", gguf::Array(std::move(types)));
  metadata.set("tokenizer.ggml.bos_token_id", std::uint32_t{1});
  metadata.set("tokenizer.ggml.eos_token_id", std::uint32_t{2});
  metadata.set("tokenizer.ggml.unknown_token_id", std::uint32_t{0});
}

/// Everything that `donor` says about its tokenizer.
void copy_tokenizer(const gguf::Metadata& donor, gguf::Metadata& metadata) {
  for (const auto& [key, value] : donor.entries()) {
    if (key.starts_with("tokenizer.")) metadata.set(key, value);
  }
}

gguf::Metadata describe_model(const ModelShape& shape) {
  gguf::Metadata metadata;
  const auto number = [&](const std::string& key, std::uint64_t value) {
    metadata.set("llama." + key, static_cast<std::uint32_t>(value));
  };
  metadata.set("general.architecture", std::string("llama"));
  metadata.set("general.name", std::string("synthetic"));
  metadata.set("general.file_type", std::uint32_t{1});
  number("block_count", shape.layers);
  number("context_length", 2048);
  number("embedding_length", shape.hidden);
  number("feed_forward_length", shape.feed_forward());
  number("attention.head_count", shape.hidden / kHeadSize);
  number("attention.head_count_kv", shape.kv_columns() / kHeadSize);
  number("rope.dimension_count", kHeadSize);
  number("vocab_size", shape.vocabulary);
  metadata.set("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  return metadata;
}

/// SplitMix64's output function (Steele, Lea, Flood 2014) of the seed and a place.
std::uint64_t mix(std::uint64_t seed, std::uint64_t place) {
  std::uint64_t z = (seed + place + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/// Zero mean, unit variance: the sum of four uniform 16-bit numbers.
float bell(std::uint64_t bits) {
  const auto sum =
      static_cast<float>((bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48));
  return (sum - 131070.0f) * (1.7320508f / 65536.0f);
}

/// A positive scale, log-normal with the given spread.
float scale_at(std::uint64_t seed, std::uint64_t place, float spread) {
  return std::exp(spread * bell(mix(seed, place)));
}

/// Fills `rows` ([count, columns], F16) with the weights of one tensor from row `first_row` on.
void fill_rows(std::uint64_t seed, std::span<const float> column_scales, std::uint64_t first_row,
               std::span<std::uint16_t> rows) {
  const std::uint64_t columns = column_scales.size();
  for (std::uint64_t i = 0; i < rows.size(); ++i) {
    const std::uint64_t row = first_row + i / columns;
    const std::uint64_t column = i % columns;
    const std::uint64_t bits = mix(seed, row * columns + column);
    const float outlier = bits % 1009 == 0 ? 6.0f : 1.0f;
    rows[i] = half_from_float(0.02f * outlier * column_scales[column] * bell(bits));
  }
}

void write_matrix(TensorSink& sink, std::size_t index, std::uint64_t seed, int threads) {
  const auto& tensor = sink.tensors()[index];
  std::vector<float> column_scales(tensor.columns());
  for (std::size_t i = 0; i < column_scales.size(); ++i) column_scales[i] = scale_at(~seed, i, 0.3f);
  const std::uint64_t chunks = (tensor.rows() + kRowsPerChunk - 1) / kRowsPerChunk;
  parallel_for(chunks, threads, [&](std::size_t chunk, int) {
    const std::uint64_t first = chunk * kRowsPerChunk;
    std::vector<std::uint16_t> rows(std::min(kRowsPerChunk, tensor.rows() - first) * tensor.columns());
    fill_rows(seed, column_scales, first, rows);
    sink.write_rows(index, first, std::as_bytes(std::span(rows)));
  });
}

void write_model(const std::string& path, const gguf::Metadata& metadata, const ModelShape& shape,
                 std::uint64_t seed, int threads) {
  const auto sink = gguf::create_gguf(path, metadata, describe_tensors(shape));
  for (std::size_t index = 0; index < sink->tensors().size(); ++index) {
    const auto& tensor = sink->tensors()[index];
    if (tensor.type == ElementType::F32) {
      const std::vector<float> ones(tensor.weights(), 1.0f);
      sink->write_rows(index, 0, std::as_bytes(std::span(ones)));
    } else {
      write_matrix(*sink, index, mix(seed, index), threads);
    }
  }
  sink->commit();
}

void write_importance(const std::string& path, const ModelShape& shape, std::uint64_t seed) {
  constexpr std::uint64_t kTokens = 32768;
  imatrix::ImatrixFile file{.datasets = {"synthetic"}, .chunk_count = 64, .chunk_size = 512, .entries = {}};
  std::uint64_t index = 0;
  for (const auto& tensor : describe_tensors(shape)) {
    ++index;
    if (tensor.type == ElementType::F32) continue;
    auto& entry = file.entries[tensor.name];
    entry.columns = tensor.columns();
    entry.counts = {kTokens};
    for (std::uint64_t i = 0; i < entry.columns; ++i) {
      entry.sums.push_back(kTokens * scale_at(seed, index << 32 | i, 1.0f));
    }
  }
  imatrix::write_imatrix_gguf(path, file);
}

struct Options {
  std::string output;
  std::string imatrix;
  std::string tokenizer;
  WantedShape shape;
  std::uint64_t seed = 1;
  int threads = 0;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("-o,--output", options.output, "GGUF file to write")->required();
  app.add_option("--imatrix", options.imatrix, "importance matrix to write beside it");
  app.add_option("--tokenizer", options.tokenizer, "GGUF file whose vocabulary the model gets");
  app.add_option("--weights", options.shape.weights, "number of weights, approximately")
      ->check(CLI::Range(4e6, 1e12));
  app.add_option("--hidden", options.shape.hidden, "hidden dimensions, a multiple of 256; 0: by --weights")
      ->check(CLI::Range(0, 65536));
  app.add_option("--layers", options.shape.layers, "0: by --weights")->check(CLI::Range(0, 1000));
  app.add_option("--seed", options.seed, "another seed gives other weights");
  app.add_option("--threads", options.threads, "0: all cores");
}

void make_model(Options options) {
  gguf::Metadata donor;
  if (!options.tokenizer.empty()) {
    donor = gguf::open_gguf(options.tokenizer)->metadata();
    const auto* tokens = donor.texts("tokenizer.ggml.tokens");
    if (tokens == nullptr) throw BadFileError({.file = options.tokenizer}, "it has no vocabulary");
    options.shape.vocabulary = tokens->size();
  }
  const ModelShape shape = choose_shape(options.shape);
  gguf::Metadata metadata = describe_model(shape);
  if (options.tokenizer.empty()) {
    add_made_up_tokenizer(metadata, shape.vocabulary);
  } else {
    copy_tokenizer(donor, metadata);
  }
  write_model(options.output, metadata, shape, options.seed, options.threads);
  if (!options.imatrix.empty()) write_importance(options.imatrix, shape, options.seed);
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  try {
    CLI::App app("Writes a synthetic Llama GGUF model and an importance matrix for it");
    tessera::Options options;
    tessera::add_options(app, options);
    CLI11_PARSE(app, argc, argv);
    tessera::make_model(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_model: %s\n", error.what());
    return 1;
  }
  return 0;
}
