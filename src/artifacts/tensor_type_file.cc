#include "artifacts/tensor_type_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "model/architecture/kept_tensors.h"

namespace tessera {
namespace {

/// Recipes of ours that llama-quantize does not know as file types, or with which it overrides nothing.
constexpr std::array<std::string_view, 5> kUnusable = {"F32", "F16", "BF16", "MXFP4", "NVFP4"};

/// What matches this name. llama-quantize lower-cases patterns but not names, and its list has no way to
/// quote white space: such characters, and those with a meaning in expressions, become "any one character".
std::string pattern_of(std::string_view name) {
  constexpr std::string_view kLiteral = "abcdefghijklmnopqrstuvwxyz0123456789_";
  std::string pattern = "^";
  for (const char letter : name) {
    if (letter == '.') {
      pattern += "\\.";
    } else {
      pattern += kLiteral.find(letter) == std::string_view::npos ? '.' : letter;
    }
  }
  return pattern + "$";
}

}  // namespace

std::string to_tensor_type_file(const QuantPlan& plan) {
  std::string text;
  for (const auto& tensor : plan.tensors) {
    if (!model::may_be_quantized(tensor.source)) continue;
    text += fmt::format("{}={}\n", pattern_of(tensor.source.name), name_of(tensor.target));
  }
  return text;
}

std::string llama_quantize_type(const QuantPlan& plan) {
  const bool unusable = plan.recipe.empty() || std::ranges::find(kUnusable, plan.recipe) != kUnusable.end();
  return unusable ? "Q8_0" : plan.recipe;
}

}  // namespace tessera
