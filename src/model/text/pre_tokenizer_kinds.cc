#include "model/text/pre_tokenizer_kinds.h"

#include <algorithm>

namespace tessera::model {
namespace {

// Every expression is the one published with the models (the "pre_tokenizer" of their tokenizer.json), but
// for
//  - (?i:...) of contractions, which tells cases of ASCII letters apart as WordSplitter does in any
//  expression,
//  - \s+$ with a look behind it, which finds the same and does not try every space of a run anew.

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?\p{Lu}*\p{Ll}+|[^\r\n\p{L}\p{N}]?\p{Lu}+\p{Ll}*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kThreeDigits = R"([0-9][0-9][0-9])";
constexpr std::string_view kLineBreak = R"([\r\n])";
constexpr std::string_view kTrailingSpace = R"((?<!\s)\s+$)";
constexpr std::string_view kDeepseekLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view kDeepseekPunctuation = "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+";
constexpr std::string_view kDeepseekCjk = "[一-龥ࠀ-一가-\U0000D7FF]+";
constexpr std::string_view kDeepseek3Cjk = "[一-龥\u3040-ゟ゠-ヿ]+";
constexpr std::string_view kDeepseek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kFalconPunctuation = R"([\p{P}\$\+<=>\^~\|`]+)";
constexpr std::string_view kDefaultPunctuation = R"([\p{P}\$\+<=>\^~\|]+)";
constexpr std::string_view kPoroChat = " ?[^(\\s|.,!?…。，、।۔،)]+";

constexpr auto kWholeWords = WholeWordTokens::yes;

constexpr std::array kKinds = {
    PreTokenizerKind{{"default"}, {kDefaultPunctuation, kGpt2, R"(\p{N}+)", kThreeDigits}},
    PreTokenizerKind{
        {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"},
        {kLlama3},
        kWholeWords,
        true},
    PreTokenizerKind{{"smaug-bpe", "dbrx"}, {kLlama3}},
    PreTokenizerKind{{"qwen2", "deepseek-r1-qwen", "stablelm2", "kormo", "megrez"}, {kQwen2}},
    PreTokenizerKind{{"qwen35"}, {kQwen35}},
    PreTokenizerKind{{"tekken"}, {kTekken}, kWholeWords, true},
    PreTokenizerKind{{"gpt-2", "phi-2", "mpt", "olmo", "jais", "jina-es", "jina-de", "gigachat", "jina-v2-es",
                      "jina-v2-de", "a.x-4.0", "mellum"},
                     {kGpt2}},
    PreTokenizerKind{{"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"},
                     {kDigit, kGpt2}},
    PreTokenizerKind{{"falcon"}, {kFalconPunctuation, kGpt2, kThreeDigits}},
    PreTokenizerKind{
        {"deepseek-llm"},
        {kLineBreak, kDeepseekLetters, kDeepseekPunctuation, kTrailingSpace, kDeepseekCjk, R"(\p{N}+)"}},
    PreTokenizerKind{{"deepseek-coder"}, {kLineBreak, R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepseekCjk, kDigit}},
    PreTokenizerKind{{"deepseek-v3", "hunyuan-dense"}, {R"(\p{N}{1,3})", kDeepseek3Cjk, kDeepseek3}},
    PreTokenizerKind{{"poro-chat", "bloom", "gpt3-finnish"}, {kPoroChat}},
    PreTokenizerKind{{"viking"}, {kPoroChat, kDigit}},
};

std::span<const std::string_view> until_empty(std::span<const std::string_view> texts) {
  const auto end = std::ranges::find(texts, std::string_view());
  return texts.first(static_cast<std::size_t>(end - texts.begin()));
}

}  // namespace

std::span<const std::string_view> PreTokenizerKind::expressions() const { return until_empty(steps); }

const PreTokenizerKind* find_pre_tokenizer_kind(std::string_view name) {
  const auto kind = std::ranges::find_if(kKinds, [&](const PreTokenizerKind& candidate) {
    return std::ranges::count(until_empty(candidate.names), name) > 0;
  });
  return kind == kKinds.end() ? nullptr : &*kind;
}

std::vector<std::string_view> pre_tokenizer_kind_names() {
  std::vector<std::string_view> names;
  for (const PreTokenizerKind& kind : kKinds) {
    for (const std::string_view name : until_empty(kind.names)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace tessera::model
