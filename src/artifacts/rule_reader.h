// Reads rules of profiles and configurations from their text: the grammar of tensor_rule.h.
#pragma once

#include "artifacts/config_reader.h"
#include "artifacts/tensor_rule.h"

namespace tessera {

/// A type that weights can have, e.g. "Q4_K". Throws BadFileError.
ElementType read_weight_type(const ConfigValue& value);

/// Throws BadFileError naming the line: unknown keys, roles or types, values out of range, effects that
/// exclude each other, no effect at all.
TensorRule read_rule(const ConfigValue& value);

/// The rule behind an item of `exclude`: a name or glob to be kept. Throws BadFileError.
TensorRule read_exclusion(const ConfigValue& value);

}  // namespace tessera
