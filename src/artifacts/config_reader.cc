#include "artifacts/config_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <sstream>

#include "foundation/base/error.h"
#include "foundation/base/nearest_name.h"
#include "foundation/base/printable.h"

namespace tessera {
namespace {

[[noreturn]] void refuse_at(const SourceLine& file, std::uint32_t line, const std::string& what) {
  throw BadFileError({.file = SourceLine{file.file, line}.text()}, what);
}

std::uint32_t line_of(const YAML::Mark& mark) { return static_cast<std::uint32_t>(mark.line + 1); }

[[noreturn]] void refuse_anchor(const SourceLine& file, std::uint32_t line) {
  refuse_at(file, line,
            "anchors and aliases (&name, *name) are not supported; write the value out, and put globs into "
            "quotation marks (\"*.weight\")");
}

/// Builds the tree from the parser's events, so that the limits hold while the parser works: it recurses with
/// every level.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const SourceLine& file) : file_(file) {}

  ConfigNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    // The parser sees that a value is missing at what comes next, maybe lines below its key.
    const bool has_key = !open_.empty() && open_.back().items.size() % 2 == 1;
    const auto line = has_key ? open_.back().items.back().line : line_of(mark);
    add({.kind = ConfigNode::Kind::null, .line = line, .quoted = false, .text = {}, .items = {}}, anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_anchor(file_, line_of(mark)); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    require_no_tag(tag, line_of(mark));
    add({.kind = ConfigNode::Kind::scalar,
         .line = line_of(mark),
         .quoted = tag == kQuotedTag,
         .text = value,
         .items = {}},
        anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(ConfigNode::Kind::list, line_of(mark), tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(ConfigNode::Kind::map, line_of(mark), tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  /// What yaml-cpp gives to scalars in quotation marks, and to plain ones and collections.
  static constexpr std::string_view kQuotedTag = "!";
  static constexpr std::string_view kPlainTag = "?";

  void require_no_tag(const std::string& tag, std::uint32_t line) const {
    if (tag.empty() || tag == kQuotedTag || tag == kPlainTag) return;
    refuse_at(file_, line, fmt::format("tags ({}) are not supported; remove it", printable(tag)));
  }

  void add(ConfigNode node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) refuse_anchor(file_, node.line);
    if (++count_ > kMostConfigValues) {
      refuse_at(file_, node.line,
                fmt::format("more than {} values; no configuration is that large", kMostConfigValues));
    }
    if (open_.empty()) {
      root_ = std::move(node);
    } else {
      open_.back().items.push_back(std::move(node));
    }
  }

  void open(ConfigNode::Kind kind, std::uint32_t line, const std::string& tag, YAML::anchor_t anchor) {
    require_no_tag(tag, line);
    if (anchor != YAML::NullAnchor) refuse_anchor(file_, line);
    if (open_.size() >= kDeepestConfigLevel) {
      refuse_at(file_, line,
                fmt::format("nested more than {} levels deep; remove brackets or indentation",
                            kDeepestConfigLevel));
    }
    open_.push_back({.kind = kind, .line = line, .quoted = false, .text = {}, .items = {}});
  }

  void close() {
    ConfigNode node = std::move(open_.back());
    open_.pop_back();
    add(std::move(node), YAML::NullAnchor);
  }

  const SourceLine& file_;
  ConfigNode root_;
  std::vector<ConfigNode> open_;  ///< from the root inwards
  std::size_t count_ = 0;
};

std::optional<double> number_in(std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::string_view kind_name(ConfigNode::Kind kind) {
  switch (kind) {
    case ConfigNode::Kind::null:
      return "nothing";
    case ConfigNode::Kind::scalar:
      return "a single value";
    case ConfigNode::Kind::list:
      return "a list";
    case ConfigNode::Kind::map:
      return "a map of keys";
  }
  return "unknown";
}

}  // namespace

std::vector<ConfigField> ConfigValue::fields() const {
  if (node_->kind != ConfigNode::Kind::map) {
    refuse(fmt::format("'{}' must be a map of keys (key: value), and is {}", name_, kind_name(node_->kind)));
  }
  std::vector<ConfigField> found;
  std::map<std::string, std::uint32_t> lines;
  for (std::size_t i = 0; i + 1 < node_->items.size(); i += 2) {
    const ConfigNode& key = node_->items[i];
    const ConfigValue place(key, *file_, name_);
    if (key.kind != ConfigNode::Kind::scalar || key.text.empty()) place.refuse("a key must be a word");
    const auto [first, is_new] = lines.emplace(key.text, key.line);
    if (!is_new) {
      place.refuse(fmt::format("'{}' stands twice, here and in line {}; remove one", printable(key.text),
                               first->second));
    }
    found.push_back({key.text, place, ConfigValue(node_->items[i + 1], *file_, key.text)});
  }
  return found;
}

std::vector<ConfigField> ConfigValue::fields(std::span<const std::string_view> known) const {
  auto found = fields();
  for (const auto& field : found) {
    if (std::ranges::find(known, field.key) != known.end()) continue;
    field.key_place.refuse(fmt::format("unknown key '{}'{} (known: {})", printable(field.key),
                                       did_you_mean(field.key, known), fmt::join(known, ", ")));
  }
  return found;
}

std::vector<ConfigValue> ConfigValue::items() const {
  if (node_->kind != ConfigNode::Kind::list) {
    refuse(fmt::format("'{}' must be a list ([a, b]), and is {}", printable(name_), kind_name(node_->kind)));
  }
  return items_or_one();
}

std::vector<ConfigValue> ConfigValue::items_or_one() const {
  if (node_->kind != ConfigNode::Kind::list) return {*this};
  std::vector<ConfigValue> found;
  for (const auto& item : node_->items) found.emplace_back(item, *file_, name_);
  return found;
}

const std::string& ConfigValue::text() const {
  if (node_->kind != ConfigNode::Kind::scalar || node_->text.empty()) {
    refuse(fmt::format("'{}' must be a single value, and is {}", printable(name_),
                       node_->kind == ConfigNode::Kind::scalar ? "empty" : kind_name(node_->kind)));
  }
  return node_->text;
}

bool ConfigValue::is_number() const {
  return node_->kind == ConfigNode::Kind::scalar && !node_->quoted && number_in(node_->text);
}

double ConfigValue::number() const {
  const auto value = number_in(text());
  if (!value || node_->quoted) {
    refuse(fmt::format("'{}' must be a number, and is '{}'", printable(name_), printable(text())));
  }
  return *value;
}

std::uint64_t ConfigValue::count() const {
  std::uint64_t value = 0;
  const char* const end = text().data() + text().size();
  const auto [rest, error] = std::from_chars(text().data(), end, value);
  if (error != std::errc() || rest != end || node_->quoted) {
    refuse(fmt::format("'{}' must be a whole number, and is '{}'", printable(name_), printable(text())));
  }
  return value;
}

bool ConfigValue::flag() const {
  if (text() == "true") return true;
  if (text() != "false") {
    refuse(fmt::format("'{}' must be true or false, and is '{}'", printable(name_), printable(text())));
  }
  return false;
}

void ConfigValue::refuse(const std::string& what) const { refuse_at(*file_, node_->line, what); }

void ConfigValue::refuse_unknown(std::string_view noun, std::span<const std::string_view> known) const {
  refuse(fmt::format("unknown {} '{}'{} (known: {})", noun, printable(text()), did_you_mean(text(), known),
                     fmt::join(known, ", ")));
}

ConfigNode parse_config(std::string_view text, const SourceLine& file) try {
  if (text.size() > kLargestConfigBytes) {
    refuse_at(file, 1,
              fmt::format("the file has {} bytes, more than the {} that a configuration may have",
                          text.size(), kLargestConfigBytes));
  }
  if (text.find('\0') != std::string_view::npos) {
    refuse_at(file, 1, "the file holds bytes of value 0: it is no text; give a YAML or JSON file");
  }
  std::istringstream stream{std::string(text)};
  YAML::Parser parser(stream);
  TreeBuilder builder(file);
  if (!parser.HandleNextDocument(builder)) refuse_at(file, 1, "the file is empty; give at least one key");
  TreeBuilder second(file);
  if (parser.HandleNextDocument(second)) {
    refuse_at(file, second.take().line, "a second document (---) begins; a configuration is a single one");
  }
  return builder.take();
} catch (const YAML::Exception& error) {
  const std::uint32_t line = error.mark.is_null() ? 0 : line_of(error.mark);
  if (error.msg == YAML::ErrorMsg::UNKNOWN_ANCHOR) refuse_anchor(file, line);
  refuse_at(
      file, line,
      fmt::format("no valid YAML or JSON: {}; check brackets, indentation and quotation marks (globs need "
                  "them)",
                  printable(error.msg)));
}

}  // namespace tessera
