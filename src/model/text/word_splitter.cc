#include "model/text/word_splitter.h"

// Code points as they are, so that surrogates and their like need no valid UTF-8.
#define PCRE2_CODE_UNIT_WIDTH 32
#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <cassert>
#include <cstdint>
#include <limits>
#include <string>

#include "foundation/base/error.h"
#include "model/text/code_points.h"
#include "model/text/unicode_categories.h"

namespace tessera::model {
namespace {

constexpr char32_t kVerticalTab = 0x0B;
constexpr char32_t kFirstBeyondAscii = 0x80;
/// What stands for a category in folded text; below 256, where PCRE2 looks classes up in a bitmap.
constexpr char32_t kCategorySymbols = 0x80;

/// What \p{NAME} stands for in folded text, as the inside of a bracket expression.
struct Property {
  std::string_view name;
  std::string_view ascii;
  UnicodeCategory category;
};
constexpr std::array kProperties = {
    Property{"\\p{L}", "A-Za-z", UnicodeCategory::letter},
    Property{"\\p{Lu}", "A-Z", UnicodeCategory::letter},
    Property{"\\p{Ll}", "a-z", UnicodeCategory::letter},
    Property{"\\p{N}", "0-9", UnicodeCategory::number},
    Property{"\\p{P}", R"(!-#%-*,-/:;?@\[-\]_{})", UnicodeCategory::punctuation},
    Property{"\\p{M}", "", UnicodeCategory::mark},
    Property{"\\p{S}", R"($+<->\^`|~)", UnicodeCategory::symbol},
};

char32_t symbol_of(UnicodeCategory category) { return kCategorySymbols + static_cast<char32_t>(category); }

const Property* property_at(std::string_view expression) {
  for (const Property& property : kProperties) {
    if (expression.starts_with(property.name)) return &property;
  }
  return nullptr;
}

/// `expression` with every \p{...} written out for folded text.
std::string for_folded_text(std::string_view expression) {
  std::string result;
  bool in_brackets = false;
  while (!expression.empty()) {
    std::size_t taken = expression.front() == '\\' ? 2 : 1;
    if (const Property* property = property_at(expression)) {
      const std::string inside = fmt::format("{}\\x{{{:X}}}", property->ascii,
                                             static_cast<std::uint32_t>(symbol_of(property->category)));
      result += in_brackets ? inside : "[" + inside + "]";
      taken = property->name.size();
    } else {
      if (expression.front() == '[') in_brackets = true;
      if (expression.front() == ']') in_brackets = false;
      result += expression.substr(0, taken);
    }
    expression.remove_prefix(taken);
  }
  return result;
}

using Text = std::vector<char32_t>;

/// The text as expressions see it, by categories or by code points.
Text folded(std::span<const char32_t> text, bool by_category) {
  Text result(text.begin(), text.end());
  for (char32_t& code_point : result) {
    if (code_point < kFirstBeyondAscii) continue;
    const UnicodeCategory category = category_of(code_point);
    if (category == UnicodeCategory::space) {
      code_point = kVerticalTab;
    } else if (by_category) {
      code_point = symbol_of(category);
    }
  }
  return result;
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
using Code = std::unique_ptr<pcre2_code, FreeCode>;
using Match = std::unique_ptr<pcre2_match_data, FreeMatch>;
using Context = std::unique_ptr<pcre2_match_context, FreeContext>;

PCRE2_SPTR units_of(const char32_t* text) { return reinterpret_cast<PCRE2_SPTR>(text); }

Code compile(std::string_view expression) {
  const Text units = code_points_of(expression);
  int error = 0;
  std::size_t offset = 0;
  Code code(
      pcre2_compile(units_of(units.data()), units.size(), PCRE2_DOLLAR_ENDONLY, &error, &offset, nullptr));
  assert(code && "the expressions are ours");
  // Where there is no just-in-time compiler, matching falls back to the interpreter.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  return code;
}

}  // namespace

class WordSplitter::Expression {
 public:
  explicit Expression(std::string_view expression)
      : by_category_(expression.find("\\p{") != std::string_view::npos),
        code_(compile(by_category_ ? for_folded_text(expression) : std::string(expression))),
        context_(pcre2_match_context_create(nullptr)) {
    // The interpreter counts steps of a match; a long text is no reason to give up.
    pcre2_set_match_limit(context_.get(), std::numeric_limits<std::uint32_t>::max());
  }

  bool sees_categories() const { return by_category_; }

  /// Appends the lengths of the parts that `part` is cut into.
  void cut(std::span<const char32_t> part, pcre2_match_data* match, std::vector<std::size_t>& lengths) const {
    std::size_t at = 0;
    while (at < part.size()) {
      const int count =
          pcre2_match(code_.get(), units_of(part.data()), part.size(), at, 0, match, context_.get());
      if (count == PCRE2_ERROR_NOMATCH) break;
      if (count < 0) throw Error(fmt::format("splitting the text into words failed: PCRE2 error {}", count));
      const std::size_t* bounds = pcre2_get_ovector_pointer(match);
      assert(bounds[1] > bounds[0]);
      if (bounds[0] > at) lengths.push_back(bounds[0] - at);
      lengths.push_back(bounds[1] - bounds[0]);
      at = bounds[1];
    }
    if (at < part.size()) lengths.push_back(part.size() - at);
  }

  Match new_match() const { return Match(pcre2_match_data_create_from_pattern(code_.get(), nullptr)); }

 private:
  bool by_category_;
  Code code_;
  Context context_;
};

WordSplitter::WordSplitter(std::span<const std::string_view> expressions) {
  for (const std::string_view expression : expressions) {
    expressions_.push_back(std::make_unique<Expression>(expression));
  }
}

WordSplitter::~WordSplitter() = default;

std::vector<std::size_t> WordSplitter::split(std::span<const char32_t> text) const {
  std::vector<std::size_t> lengths{text.size()};
  if (text.empty()) return {};
  std::array<Text, 2> views;  // by code point and by category, made when the first expression needs them
  for (const auto& expression : expressions_) {
    Text& view = views[expression->sees_categories() ? 1 : 0];
    if (view.empty()) view = folded(text, expression->sees_categories());
    const Match match = expression->new_match();
    std::vector<std::size_t> finer;
    std::size_t begin = 0;
    for (const std::size_t length : lengths) {
      expression->cut(std::span(view).subspan(begin, length), match.get(), finer);
      begin += length;
    }
    lengths = std::move(finer);
  }
  return lengths;
}

}  // namespace tessera::model
