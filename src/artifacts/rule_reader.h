// Reads rules of profiles and configurations from their text: the grammar of tensor_rule.h.
#pragma once

#include "artifacts/config_reader.h"
#include "artifacts/tensor_rule.h"

namespace tessera {

/// A type that weights can have, e.g. "Q4_K". Throws BadFileError.
ElementType read_weight_type(const ConfigValue& value);

/// Layers as the grammar writes them: 5, 0-2, "first 1", "last 3". Throws BadFileError.
LayerSelection read_layers(const ConfigValue& value);

/// The items of a list that must have some, or the value itself. Throws BadFileError.
std::vector<ConfigValue> some_items(const ConfigValue& value);

/// Throws BadFileError naming the line: unknown keys, roles or types, values out of range, effects that
/// exclude each other, no effect at all.
TensorRule read_rule(const ConfigValue& value);

/// The rule behind an item of `exclude`: a name or glob to be kept. Throws BadFileError.
TensorRule read_exclusion(const ConfigValue& value);

}  // namespace tessera
