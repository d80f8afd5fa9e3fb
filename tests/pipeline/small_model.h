// Small GGUF models made on the spot, and a folder that removes itself.
#pragma once

#include <unistd.h>

#include <algorithm>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "foundation/codecs/codec.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "foundation/formats/imatrix/imatrix_file.h"

namespace tessera::testing {

/// A folder of its own, removed with everything in it at the end of the scope.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
    std::string name = (parent / "tessera-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("cannot make a temporary folder");
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }
  /// Names of the files in it, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_whole(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_whole(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

struct SmallModel {
  std::uint32_t layers = 2;
  std::uint64_t columns = 256;
  std::uint64_t rows = 48;
  std::uint32_t experts = 0;
  ElementType type = ElementType::F16;
  /// Changes the weights of a tensor before they are written.
  std::function<void(const std::string& name, std::vector<float>& weights)> edit = nullptr;
};

inline std::vector<TensorDescriptor> tensors_of(const SmallModel& model) {
  const auto matrix = [&](const std::string& name) {
    return TensorDescriptor{name, model.type, {model.rows, model.columns}};
  };
  const auto vector = [&](const std::string& name) {
    return TensorDescriptor{name, ElementType::F32, {model.columns}};
  };
  std::vector<TensorDescriptor> tensors = {matrix("token_embd.weight"), vector("output_norm.weight"),
                                           matrix("output.weight")};
  for (std::uint32_t layer = 0; layer < model.layers; ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    tensors.push_back(vector(block + "attn_norm.weight"));
    for (const char* stem : {"attn_q", "attn_k", "attn_v", "attn_output"})
      tensors.push_back(matrix(block + stem + ".weight"));
    if (model.experts == 0) {
      for (const char* stem : {"ffn_gate", "ffn_up", "ffn_down"})
        tensors.push_back(matrix(block + stem + ".weight"));
    } else {
      tensors.push_back({block + "ffn_gate_inp.weight", ElementType::F32, {model.experts, model.columns}});
      for (const char* stem : {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}) {
        tensors.push_back({block + stem + ".weight", model.type, {model.experts, model.rows, model.columns}});
      }
    }
  }
  return tensors;
}

inline gguf::Metadata metadata_of(const SmallModel& model) {
  gguf::Metadata metadata;
  metadata.set("general.architecture", std::string("llama"));
  metadata.set("general.name", std::string("small model"));
  metadata.set("general.file_type", std::uint32_t{1});
  metadata.set("llama.block_count", model.layers);
  metadata.set("llama.attention.head_count", std::uint32_t{8});
  metadata.set("llama.attention.head_count_kv", std::uint32_t{8});
  if (model.experts > 0) metadata.set("llama.expert_count", model.experts);
  return metadata;
}

/// Normally distributed weights; the same on every call.
inline void write_model(const std::filesystem::path& path, const SmallModel& model = {},
                        const gguf::WriteSettings& settings = {}) {
  const auto tensors = tensors_of(model);
  const auto sink = gguf::create_gguf(path, metadata_of(model), tensors, settings);
  std::mt19937 generator(7);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::vector<float> weights(tensors[i].weights());
    for (float& weight : weights) weight = normal(generator);
    if (model.edit) model.edit(tensors[i].name, weights);
    std::vector<std::byte> bytes(tensors[i].bytes());
    codecs::codec_for(tensors[i].type).encode({weights, tensors[i].columns(), {}}, bytes);
    sink->write_rows(i, 0, bytes);
  }
  sink->commit();
}

/// Entries for all matrices of the blocks; expert `unseen_expert` was never seen.
inline imatrix::ImatrixFile importance_for(const SmallModel& model, int unseen_expert = -1) {
  imatrix::ImatrixFile matrix;
  matrix.datasets = {"calibration.txt"};
  matrix.chunk_count = 3;
  matrix.chunk_size = 512;
  std::mt19937 generator(11);
  std::exponential_distribution<float> exponential(1.0f);
  for (const auto& tensor : tensors_of(model)) {
    if (!tensor.name.starts_with("blk.") || tensor.shape.size() < 2 || tensor.type == ElementType::F32)
      continue;
    const std::uint64_t experts = tensor.shape.size() == 3 ? tensor.shape.front() : 1;
    imatrix::Entry entry{tensor.columns(), {}, std::vector<std::uint64_t>(experts, 100)};
    for (std::uint64_t i = 0; i < experts * tensor.columns(); ++i)
      entry.sums.push_back(100 * exponential(generator));
    if (unseen_expert >= 0 && experts > 1) entry.counts[static_cast<std::size_t>(unseen_expert)] = 0;
    matrix.entries[tensor.name] = std::move(entry);
  }
  return matrix;
}

}  // namespace tessera::testing
