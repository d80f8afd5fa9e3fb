// Reads YAML (and JSON, which is YAML) that people write by hand: a tree in which every value knows its line,
// and typed access that refuses what a schema does not name.
//
// Of YAML there are maps, lists and scalars. Refused, naming the line: anchors and aliases (a few lines of
// them can stand for gigabytes), tags, keys that are no plain text, more than one document, and what exceeds
// the limits below.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "artifacts/tensor_rule.h"

namespace tessera {

inline constexpr std::size_t kLargestConfigBytes = std::size_t{1} << 20;
inline constexpr std::size_t kDeepestConfigLevel = 16;
inline constexpr std::size_t kMostConfigValues = 100'000;

/// A value of the file, as written.
struct ConfigNode {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  std::uint32_t line = 0;         ///< from 1
  bool quoted = false;            ///< a scalar in quotation marks: text, never a number
  std::string text;               ///< of a scalar
  std::vector<ConfigNode> items;  ///< of a list; of a map: key, value, key, value, ...
};

struct ConfigField;

/// A node together with what it is called in messages: typed access. All functions throw BadFileError naming
/// file and line when the node is not what is asked for.
class ConfigValue {
 public:
  /// `node` and `file` must outlive the value. `name`: the key, e.g. "target".
  ConfigValue(const ConfigNode& node, const SourceLine& file, std::string name)
      : node_(&node), file_(&file), name_(std::move(name)) {}

  ConfigNode::Kind kind() const { return node_->kind; }
  const std::string& name() const { return name_; }
  SourceLine place() const { return {file_->file, node_->line, file_->built_in}; }

  /// Keys and values of a map, in the order of the file. Each key is one of `known` and stands once.
  std::vector<ConfigField> fields(std::span<const std::string_view> known) const;
  /// The same with any keys.
  std::vector<ConfigField> fields() const;
  /// Of a list.
  std::vector<ConfigValue> items() const;
  /// Of a list, or the value itself standing for a list of one.
  std::vector<ConfigValue> items_or_one() const;

  /// A scalar that is not empty.
  const std::string& text() const;
  /// A finite decimal number.
  double number() const;
  /// Whether the value is a number, quoted ones not being any.
  bool is_number() const;
  /// A whole number.
  std::uint64_t count() const;
  /// true or false.
  bool flag() const;

  /// Throws BadFileError with the place of this value.
  [[noreturn]] void refuse(const std::string& what) const;
  /// Throws: `text()` is no known `noun`; names the nearest one and all of `known`.
  [[noreturn]] void refuse_unknown(std::string_view noun, std::span<const std::string_view> known) const;

 private:
  const ConfigNode* node_;
  const SourceLine* file_;
  std::string name_;
};

struct ConfigField {
  std::string key;
  ConfigValue key_place;  ///< the key itself, for messages
  ConfigValue value;
};

/// Throws BadFileError naming `file` and line: no YAML, or refused as above. `file.line` is not used.
ConfigNode parse_config(std::string_view text, const SourceLine& file);

}  // namespace tessera
