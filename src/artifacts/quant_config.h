// What a user asks of dynamic quantization: a profile's policy and the settings of a run, in one form.
//
// Grammar of a configuration file (YAML; JSON is read by the same parser), all keys optional:
//
//   profile: balanced                    the policy that this one extends (docs/dynamic.md lists them)
//   target: {bpw: 2.5}                   or {size: 3.5GiB} or {compression: 82}
//   imatrix: im.gguf                     importance matrix; relative to the file's folder
//   data: [calibration.txt]              texts to compute it from, when there is none; likewise
//   sensitivity: fisher                  fisher | measured | prior
//   candidates: [IQ2_XXS, Q4_K, Q6_K]    types to choose from
//   rules: [...]                         tensor_rule.h; applied after the profile's
//   exclude: [blk.0.*]                   short for rules with keep: true
//
// A profile (data/profiles/NAME.yaml) is the same with `name` and `about`, and without target, imatrix and
// data. Both may extend another profile: its candidates hold unless stated anew, its rules come first.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "artifacts/sensitivity.h"
#include "artifacts/tensor_rule.h"

namespace tessera {

/// The size asked for.
struct SizeTarget {
  enum class Kind {
    bits_per_weight,  ///< stored tensors, scales included: value in bits per weight
    file_bytes,       ///< all files together: value in bytes
    compression,      ///< value in percent saved against the whole file at 16 bits per weight
  };
  Kind kind = Kind::bits_per_weight;
  double value = 0;
};

/// A resolved policy: nothing left to extend.
struct QuantPolicy {
  std::string profile;                  ///< name of the profile it extends, or of itself
  std::string about;                    ///< one line
  std::vector<ElementType> candidates;  ///< in order of bits per weight, no type twice
  std::vector<TensorRule> rules;        ///< in order of application
};

struct QuantConfig {
  QuantPolicy policy;
  std::optional<SizeTarget> target;
  std::optional<std::filesystem::path> imatrix;
  std::vector<std::filesystem::path> data;
  std::optional<SensitivityMethod> sensitivity;
};

/// Parses "2.5bpw"-like values: the arguments of --target-size ("3.5GiB", "900MB", "12345").
/// Throws UsageError saying what is accepted.
std::uint64_t parse_byte_size(std::string_view text);

/// Reads a configuration. Throws BadFileError naming file and line: no YAML or JSON, unknown keys (with the
/// nearest known one), unknown profiles, roles or types, values out of range, contradictions within a rule.
QuantConfig read_quant_config(const std::filesystem::path& file);
QuantConfig parse_quant_config(std::string_view text, const std::string& file);

/// The profiles that come with Tessera, by name.
std::vector<QuantPolicy> built_in_profiles();
/// Throws UsageError listing the names when there is none of this name.
QuantPolicy find_profile(std::string_view name);
inline constexpr std::string_view kDefaultProfile = "balanced";

}  // namespace tessera
