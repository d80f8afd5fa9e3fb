#include "model/text/pre_tokenizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <string_view>
#include <utility>
#include <vector>

#include "foundation/base/printable.h"
#include "model/text/pre_tokenizer_kinds.h"

namespace tessera::model {
namespace {

/// Whether a word that is itself a token is taken whole, without merging ("ignore_merges" of the BPE model).
/// The runtime ties this to the name.
enum class WholeWords { no, yes };

/// A step is spelled as `step_of` below spells it; one that ends in "..." stands for all that start so.
struct PreTokenizer {
  std::string_view name;
  WholeWords whole_words;
  std::array<std::string_view, 7> steps;
};

constexpr std::string_view kLlama3Split =
    R"(Split (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Split =
    R"(Split (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekkenSplit =
    R"(Split [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kAnyEnd = "...";

/// One row per pre-tokenizer that the supported families use. Several published names stand for the same
/// steps (qwen2 and deepseek-r1-qwen, smollm and starcoder); the runtime treats them alike, and the table has
/// one of each.
constexpr std::array kPreTokenizers = {
    PreTokenizer{"llama-bpe", WholeWords::yes, {kLlama3Split, "ByteLevel"}},
    PreTokenizer{"smaug-bpe", WholeWords::no, {kLlama3Split, "ByteLevel"}},
    PreTokenizer{"qwen2", WholeWords::no, {kQwen2Split, "ByteLevel"}},
    PreTokenizer{"tekken", WholeWords::yes, {kTekkenSplit, "ByteLevel"}},
    PreTokenizer{"gpt-2", WholeWords::no, {"ByteLevel words"}},
    PreTokenizer{"smollm", WholeWords::no, {"Digits individual", "ByteLevel words"}},
    PreTokenizer{
        "deepseek-llm",
        WholeWords::no,
        {"Split [\r\n]",
         "Split "
         "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ...",
         "Split \\s?[!-/:-~！-／：-～‘-‟　-。]+", "Split \\s+$", "Split [一-龥ࠀ-一가-퟿]+",
         "Digits individual", "ByteLevel"}},
    PreTokenizer{"deepseek-coder",
                 WholeWords::no,
                 {"Split [\r\n]", "Split \\s?\\p{L}+", "Split \\s?\\p{P}+", "Split [一-龥ࠀ-一가-퟿]+",
                  "Digits individual", "ByteLevel"}},
};

std::string text_of(const json::Value& object, std::string_view key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool flag_of(const json::Value& object, std::string_view key, bool otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

/// "Split PATTERN": every match is a word of its own. Removing what lies between matches comes to the same
/// for patterns that match everything; any other behaviour is spelled out, so that it matches no row.
std::string split_step(const json::Value& step) {
  const auto pattern = step.find("pattern");
  const bool is_object = pattern != step.end() && pattern->is_object();
  const std::string text =
      is_object ? text_of(*pattern, "Regex") + text_of(*pattern, "String") : std::string();
  const std::string behavior = text_of(step, "behavior");
  const bool inverted = flag_of(step, "invert", false);
  if ((behavior == "Isolated" && !inverted) || (behavior == "Removed" && inverted)) return "Split " + text;
  return fmt::format("Split({}{}) {}", behavior, inverted ? ", inverted" : "", text);
}

std::string step_of(const json::Value& step) {
  std::string type = text_of(step, "type");
  if (type == "Split") return split_step(step);
  if (type == "Digits") return flag_of(step, "individual_digits", false) ? "Digits individual" : "Digits";
  if (type == "ByteLevel") {
    return fmt::format("ByteLevel{}{}", flag_of(step, "add_prefix_space", true) ? " with space prefix" : "",
                       flag_of(step, "use_regex", true) ? " words" : "");
  }
  return type;
}

/// The steps in the order in which they apply, nested sequences laid flat.
std::vector<std::string> steps_of(const json::Value& pre_tokenizer) {
  std::vector<std::string> steps;
  std::vector<const json::Value*> waiting{&pre_tokenizer};
  while (!waiting.empty()) {
    const json::Value& step = *waiting.back();
    waiting.pop_back();
    const auto nested = step.is_object() ? step.find("pretokenizers") : step.end();
    if (step.is_object() && nested != step.end() && nested->is_array()) {
      for (auto inner = nested->rbegin(); inner != nested->rend(); ++inner) waiting.push_back(&*inner);
    } else if (step.is_object()) {
      steps.push_back(step_of(step));
    }
  }
  return steps;
}

bool matches(std::string_view expected, std::string_view step) {
  if (!expected.ends_with(kAnyEnd)) return expected == step;
  return step.starts_with(expected.substr(0, expected.size() - kAnyEnd.size()));
}

bool matches(const PreTokenizer& row, WholeWords whole_words, const std::vector<std::string>& steps) {
  const auto end = std::ranges::find(row.steps, std::string_view());
  return row.whole_words == whole_words &&
         std::equal(row.steps.begin(), end, steps.begin(), steps.end(),
                    [](std::string_view expected, std::string_view step) { return matches(expected, step); });
}

json::Value described_byte_level(bool splits_words) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", splits_words}};
}

json::Value described_split(std::string_view expression) {
  return {
      {"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", "Isolated"}, {"invert", false}};
}

/// The step that step_of() spells like this. What a step leaves off is the expression of `kind` that begins
/// so.
json::Value described_step(std::string_view step, const PreTokenizerKind& kind) {
  constexpr std::string_view kSplit = "Split ";
  if (step == "ByteLevel") return described_byte_level(false);
  if (step == "ByteLevel words") return described_byte_level(true);
  if (step == "Digits individual") return {{"type", "Digits"}, {"individual_digits", true}};
  assert(step.starts_with(kSplit));
  step.remove_prefix(kSplit.size());
  if (!step.ends_with(kAnyEnd)) return described_split(step);
  const auto whole = std::ranges::find_if(
      kind.expressions(), [&](std::string_view expression) { return matches(step, expression); });
  assert(whole != kind.expressions().end());
  return described_split(*whole);
}

}  // namespace

json::Value described_pre_tokenizer(std::string_view name) {
  const PreTokenizerKind* kind = find_pre_tokenizer_kind(name);
  assert(kind != nullptr);
  json::Value steps = json::Value::array();
  const auto row = std::ranges::find_if(kPreTokenizers, [&](const PreTokenizer& candidate) {
    return find_pre_tokenizer_kind(candidate.name) == kind;
  });
  if (row != kPreTokenizers.end()) {
    for (const std::string_view step : row->steps) {
      if (!step.empty()) steps.push_back(described_step(step, *kind));
    }
  } else {
    for (const std::string_view expression : kind->expressions())
      steps.push_back(described_split(expression));
    steps.push_back(described_byte_level(false));
  }
  if (steps.size() == 1) return steps.front();
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

std::vector<std::string_view> told_pre_tokenizer_names() {
  std::vector<std::string_view> names;
  for (const PreTokenizer& row : kPreTokenizers) names.push_back(row.name);
  return names;
}

std::string pre_tokenizer_name(const json::JsonObject& tokenizer) {
  const json::Value* described = tokenizer.find("pre_tokenizer");
  const auto steps = described == nullptr ? std::vector<std::string>() : steps_of(*described);
  const bool ignore_merges = tokenizer.object("model").boolean("ignore_merges").value_or(false);
  const WholeWords whole_words = ignore_merges ? WholeWords::yes : WholeWords::no;
  for (const PreTokenizer& row : kPreTokenizers) {
    if (matches(row, whole_words, steps)) return std::string(row.name);
  }
  tokenizer.fail(
      "pre_tokenizer",
      fmt::format("is none of those known ({}): its steps are [{}]{}. If you know llama.cpp's name for it, "
                  "give it with --pre NAME",
                  fmt::join(told_pre_tokenizer_names(), ", "),
                  printable(fmt::format("{}", fmt::join(steps, "; ")), 1000),
                  ignore_merges ? " with ignore_merges" : ""));
}

}  // namespace tessera::model
