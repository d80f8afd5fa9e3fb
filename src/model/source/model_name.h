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

/// A number of weights as a size label with at least two digits: "5.2M", "27M", "494M", "1.5B".
std::string size_label(std::uint64_t parameters);

}  // namespace tessera::model
