// A policy as text: what a profile comes to, for people and for machines.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "artifacts/quant_config.h"

namespace tessera {

/// The rule in the grammar of tensor_rule.h, on one line: "{roles: [attention], min: 4}". Roles that make up
/// a group are named as the group.
std::string to_text(const TensorRule& rule);

/// The policy in the grammar of a configuration: candidates with their bits per weight, rules with the
/// profile that they come from.
std::string to_yaml(const QuantPolicy& policy);

nlohmann::json to_json(const QuantPolicy& policy);

}  // namespace tessera
