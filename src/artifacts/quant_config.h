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
// A profile (data/profiles/NAME.yaml) has the keys
//
//   name: balanced                       as the file is called
//   about: no prejudice beyond floors    one line
//   extends: NAME                        optional: another profile
//   candidates, rules                    as above; candidates optional with `extends`
//
// What is extended: its candidates hold unless stated anew, its rules come first.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "artifacts/embedded_files.h"
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
  std::optional<SourceLine> target_place;  ///< for messages about a target that cannot be reached
  std::optional<std::filesystem::path> imatrix;
  std::vector<std::filesystem::path> data;
  std::optional<SensitivityMethod> sensitivity;
};

/// A size as --target-size and `size` take it: bytes ("12345"), or with a unit, whose case does not matter:
/// powers of 1024 ("3.5GiB") or of 1000 ("900MB", "900M"). At least 1 byte. Throws UsageError saying what is
/// accepted.
std::uint64_t parse_byte_size(std::string_view text);

/// For reports: "2.5 bits per weight", "3.5 GiB"-like sizes in bytes, "82 % saved".
std::string text_of(const SizeTarget& target);

/// Reads a configuration. Throws BadFileError naming file and line: no YAML or JSON, unknown keys (with the
/// nearest known one), unknown profiles, roles or types, values out of range, contradictions within a rule
/// or between rules, limits that no candidate meets.
QuantConfig read_quant_config(const std::filesystem::path& file);
QuantConfig parse_quant_config(std::string_view text, const std::string& file);

/// The policy of the profile `name` among the files NAME.yaml, with what it extends. Throws UsageError
/// listing the names when there is none of this name, BadFileError when a profile is wrong or extends itself.
QuantPolicy resolve_profile(std::string_view name, std::span<const EmbeddedFile> profiles);

/// The profiles that come with Tessera, by name.
std::vector<QuantPolicy> built_in_profiles();
/// Throws UsageError listing the names when there is none of this name.
QuantPolicy find_profile(std::string_view name);
inline constexpr std::string_view kDefaultProfile = "balanced";

}  // namespace tessera
