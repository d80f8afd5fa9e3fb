#include "model/architecture/int8_scheme.h"

#include <fmt/format.h>

#include <optional>
#include <string>

#include "foundation/base/printable.h"

namespace tessera::model {
namespace {

using json::JsonObject;

/// `otherwise` says what a key that is not given means.
void require_text(const JsonObject& object, std::string_view key, std::string_view wanted,
                  std::string_view otherwise = "") {
  const std::string given = object.text(key).value_or(std::string(otherwise));
  if (given == wanted) return;
  object.fail(key, fmt::format("is \"{}\"; of compressed-tensors models \"{}\" alone is supported, W8A8 with "
                               "scales per channel",
                               printable(given), wanted));
}

void require_absent(const JsonObject& object, std::string_view key) {
  const auto* value = object.find(key);
  if (value == nullptr || ((value->is_object() || value->is_array()) && value->empty())) return;
  object.fail(key, "is given, which is not supported; of compressed-tensors models plain W8A8 alone is");
}

/// What weights and activations share.
void require_symmetric_int8(const JsonObject& arguments) {
  const auto bits = arguments.integer("num_bits").value_or(8);
  if (bits != 8) arguments.fail("num_bits", fmt::format("is {}; 8 alone is supported", bits));
  require_text(arguments, "type", "int", "int");
  if (!arguments.boolean("symmetric").value_or(true)) {
    arguments.fail("symmetric", "is false; asymmetric codes are not supported");
  }
  if (arguments.integer("group_size").value_or(-1) != -1) {
    arguments.fail("group_size", "is given; scales of groups of columns are not supported");
  }
  for (const auto* key : {"actorder", "block_structure"}) require_absent(arguments, key);
}

bool read_static_inputs(const JsonObject& arguments) {
  if (arguments.empty()) {
    arguments.fail("strategy", "is missing: models whose weights alone are quantized are not supported");
  }
  require_symmetric_int8(arguments);
  const bool is_dynamic = arguments.boolean("dynamic").value_or(false);
  require_text(arguments, "strategy", is_dynamic ? "token" : "tensor");
  return !is_dynamic;
}

Int8Scheme read_group(const JsonObject& group) {
  require_text(group, "format", "int-quantized", "int-quantized");
  require_absent(group, "output_activations");
  const JsonObject weights = group.object("weights");
  require_symmetric_int8(weights);
  require_text(weights, "strategy", "channel");
  if (weights.boolean("dynamic").value_or(false)) weights.fail("dynamic", "is true; weights are not");
  return {read_static_inputs(group.object("input_activations"))};
}

/// Symmetric int8 codes. Dynamic scales are observed by nobody.
json::Value int8_arguments(const char* strategy, bool is_dynamic) {
  return {{"num_bits", 8},
          {"type", "int"},
          {"symmetric", true},
          {"strategy", strategy},
          {"dynamic", is_dynamic},
          {"observer", is_dynamic ? json::Value(nullptr) : json::Value("memoryless_minmax")},
          {"observer_kwargs", json::Value::object()},
          {"group_size", nullptr},
          {"block_structure", nullptr},
          {"actorder", nullptr},
          {"scale_dtype", nullptr},
          {"zp_dtype", nullptr}};
}

}  // namespace

Int8Scheme read_int8_scheme(const JsonObject& quantization) {
  require_text(quantization, "format", "int-quantized");
  require_text(quantization, "quantization_status", "compressed");
  for (const auto* key : {"kv_cache_scheme", "sparsity_config", "transform_config"}) {
    require_absent(quantization, key);
  }
  const JsonObject groups = quantization.object("config_groups");
  std::optional<Int8Scheme> scheme;
  for (const std::string& name : groups.keys()) {
    const Int8Scheme group = read_group(groups.object(name));
    if (scheme && scheme->static_inputs != group.static_inputs) {
      groups.fail(name, "differs from another group in its input_activations, which is not supported");
    }
    scheme = group;
  }
  if (!scheme) quantization.fail("config_groups", "has no group");
  return *scheme;
}

json::Value to_quantization_config(const Int8Scheme& scheme) {
  const json::Value group = {{"targets", {"Linear"}},
                             {"weights", int8_arguments("channel", false)},
                             {"input_activations", scheme.static_inputs ? int8_arguments("tensor", false)
                                                                        : int8_arguments("token", true)},
                             {"output_activations", nullptr},
                             {"format", "int-quantized"}};
  return {{"quant_method", "compressed-tensors"},
          {"format", "int-quantized"},
          {"quantization_status", "compressed"},
          {"config_groups", {{"group_0", group}}},
          {"ignore", {"lm_head"}},
          {"global_compression_ratio", nullptr},
          {"kv_cache_scheme", nullptr},
          {"sparsity_config", json::Value::object()},
          {"transform_config", json::Value::object()},
          {"version", "0.17.1"}};
}

}  // namespace tessera::model
