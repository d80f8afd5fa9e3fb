// How strongly to smooth which folds: one strength for the model, and rules that differ from it.
//
// Grammar of the file (YAML or JSON), all keys optional:
//
//   alpha: 0.5                        from 0 to 1; auto: what errs least, fold by fold; none: leave alone
//   rules:
//     - layers: [0-2, last 3]         as in tensor_rule.h; without it: all layers
//       folds: [attention, down]      attention, attention_output, feed_forward, down; without it: all
//       alpha: 0.7                    required
//
// Rules are applied in order and later ones win.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "artifacts/tensor_rule.h"

namespace tessera {

/// How strongly to smooth.
struct SmoothingStrength {
  enum class Kind {
    fixed,      ///< alpha as given
    automatic,  ///< of a grid and of leaving the fold alone, what errs least at the readers' output
    none,       ///< leaves the fold alone
  };
  Kind kind = Kind::fixed;
  double alpha = 0.5;  ///< of fixed, from 0 to 1

  bool operator==(const SmoothingStrength&) const = default;
};

/// "auto", "none" or a number from 0 to 1, as options and files spell it. Throws UsageError.
SmoothingStrength smoothing_strength_from(std::string_view text);
std::string text_of(const SmoothingStrength& strength);

struct SmoothingRule {
  std::vector<LayerSelection> layers;  ///< empty: all
  std::vector<std::string> folds;      ///< FoldRule::name; empty: all
  SmoothingStrength strength;

  bool operator==(const SmoothingRule&) const = default;
};

struct SmoothingConfig {
  SmoothingStrength strength = {};  ///< where no rule says otherwise
  std::vector<SmoothingRule> rules = {};

  /// Of one fold of a model with `layer_count` layers.
  SmoothingStrength strength_of(std::string_view fold, std::uint32_t layer, std::uint32_t layer_count) const;
  bool operator==(const SmoothingConfig&) const = default;
};

/// The settings as one line, for reports and fingerprints.
std::string text_of(const SmoothingConfig& config);

/// Throws BadFileError naming file and line: unknown keys or folds, an alpha that is none, a rule without
/// one.
SmoothingConfig parse_smoothing_config(std::string_view text, const std::string& file);
SmoothingConfig read_smoothing_config(const std::filesystem::path& path);

}  // namespace tessera
