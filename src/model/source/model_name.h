// What a model's name says about it: "Qwen/Qwen2.5-0.5B-Instruct" is by Qwen, of the base Qwen2.5, of size
// 0.5B, tuned to instructions.
//
// The naming convention is GGUF's (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "GGUF Naming
// Convention"), the reading of names that do not quite follow it that of llama.cpp's converter, so that
// general.* keys agree.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera::model {

/// The parts of a name; what it does not say is empty.
struct ModelName {
  std::string name;  ///< without the organization
  std::string organization;
  std::string basename;
  std::string finetune;
  std::string version;
  std::string size_label;
};

/// Takes "[ORGANIZATION/]NAME" apart. `parameters` is the model's number of weights (0: unknown): a size in
/// the name that is far from it is no size but, for instance, a context length.
ModelName parse_model_name(std::string_view id, std::uint64_t parameters);

/// "my-model v2" as a title: "My Model v2".
std::string title_of(std::string_view id);

/// Numbers of weights.
struct ParameterCounts {
  std::uint64_t total = 0;
  std::uint64_t experts = 0;     ///< of a layer; 0: dense
  std::uint64_t per_expert = 0;  ///< weights of one expert, all layers together
};

/// A number of weights as a size label with at least two digits: "5.2M", "27M", "494M", "1.5B".
std::string size_label(std::uint64_t parameters);
/// That of a model: "8x7.2B" is a mixture of eight experts that has 7.2B weights with one of them.
std::string size_label(const ParameterCounts& parameters);

}  // namespace tessera::model
