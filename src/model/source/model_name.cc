#include "model/source/model_name.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <regex>
#include <vector>

namespace tessera::model {
namespace {

enum class Kind { none, version, type, size, finetune };

struct Part {
  std::string text;
  Kind kind = Kind::none;
  bool in_basename = false;
};

bool matches(const std::string& text, const char* pattern) {
  return std::regex_match(text, std::regex(pattern, std::regex::ECMAScript | std::regex::icase));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
char upper(char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); }
char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find(separator), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

/// "7b1" and "1_5b" as "7.1b" and "1.5b", the unit in capitals when it follows a digit.
std::string normalized_size(std::string size) {
  std::ranges::replace(size, '_', '.');
  if (size.size() > 1 && is_digit(size.back())) {
    const std::string tail{'.', size.back(), size[size.size() - 2]};
    size.replace(size.size() - 2, 2, tail);
  }
  if (size.size() > 1 && is_digit(size[size.size() - 2])) size.back() = upper(size.back());
  return size;
}

/// Whether a size such as "128K" is so far from the number of weights that it must mean something else.
bool is_far_from(const std::string& size, std::uint64_t parameters) {
  constexpr std::string_view kUnits = " KMBT";
  double number = 0;
  const char* const end = size.data() + size.size() - 1;
  const auto parsed = std::from_chars(size.data(), end, number);
  if (parameters == 0 || parsed.ec != std::errc() || parsed.ptr != end) return false;
  const auto unit = kUnits.find(size.back());
  if (unit == std::string_view::npos) return false;
  const double named = number * std::pow(1000.0, static_cast<double>(unit));
  return std::abs(named - static_cast<double>(parameters)) >
         std::floor(7.0 * static_cast<double>(parameters) / 8.0);
}

void annotate(Part& part, bool is_first, std::uint64_t parameters) {
  if (matches(part.text, R"((v|iter)?\d+([.]\d+)*)")) {
    part.kind = Kind::version;
  } else if (matches(part.text, R"(i?q\d(_\w)*|b?fp?(16|32))")) {
    part.kind = Kind::type;
    std::ranges::transform(part.text, part.text.begin(), upper);
  } else if (!is_first &&
             matches(part.text, R"((([A]|\d+[x])?\d+([._]\d+)?[KMBT][\d]?|small|mini|medium|large|x?xl))")) {
    part.text = normalized_size(part.text);
    const bool far = is_far_from(part.text, parameters);
    if (far) part.text.back() = lower(part.text.back());
    part.kind = far ? Kind::finetune : Kind::size;
  } else if (!is_first && matches(part.text, "chat|instruct|vision|lora")) {
    part.kind = Kind::finetune;
  }
}

/// "large" says nothing where "7B" stands too.
void drop_sizes_in_words(std::vector<Part>& parts) {
  const auto has_digit = [](const Part& part) {
    return part.kind == Kind::size && std::ranges::any_of(part.text, is_digit);
  };
  if (std::ranges::none_of(parts, has_digit)) return;
  for (Part& part : parts) {
    if (part.kind == Kind::size && std::ranges::all_of(part.text, is_letter)) part.kind = Kind::none;
  }
}

/// The base is what the name starts with, versions included, but not a version at its end.
void mark_basename(std::vector<Part>& parts) {
  bool at_start = true;
  for (Part& part : parts) {
    at_start =
        at_start && ((part.kind == Kind::none && is_letter(part.text.front())) || part.kind == Kind::version);
    part.in_basename = at_start;
    if (!at_start && part.kind == Kind::none) part.kind = Kind::finetune;
  }
  for (auto part = parts.rbegin(); part != parts.rend() && part->in_basename && part->kind == Kind::version;
       ++part) {
    part->in_basename = false;
  }
}

template <class Select>
std::string joined(const std::vector<Part>& parts, Select select) {
  std::vector<std::string_view> chosen;
  for (const Part& part : parts) {
    if (select(part)) chosen.push_back(part.text);
  }
  return fmt::format("{}", fmt::join(chosen, "-"));
}

}  // namespace

ModelName parse_model_name(std::string_view id, std::uint64_t parameters) {
  ModelName result;
  if (id.find(' ') != std::string_view::npos) {  // a sentence, not an identifier
    result.name = id;
    return result;
  }
  const auto slash = id.find('/');
  if (slash != std::string_view::npos && id.front() != '.') result.organization = id.substr(0, slash);
  result.name = slash == std::string_view::npos ? id : id.substr(slash + 1);
  std::vector<Part> parts;
  for (std::string& text : split(result.name, '-')) parts.push_back({.text = std::move(text)});
  for (Part& part : parts) annotate(part, &part == parts.data(), parameters);
  drop_sizes_in_words(parts);
  mark_basename(parts);
  result.finetune = joined(parts, [](const Part& part) { return part.kind == Kind::finetune; });
  result.version =
      joined(parts, [](const Part& part) { return part.kind == Kind::version && !part.in_basename; });
  std::vector<std::string_view> sizes;
  result.size_label = joined(parts, [&](const Part& part) {
    const bool is_new = part.kind == Kind::size && std::ranges::find(sizes, part.text) == sizes.end();
    if (is_new) sizes.push_back(part.text);
    return is_new;
  });
  const bool ambiguous = result.size_label.empty() && result.finetune.empty() && result.version.empty();
  if (!ambiguous) result.basename = joined(parts, [](const Part& part) { return part.in_basename; });
  return result;
}

std::string title_of(std::string_view id) {
  std::string spaced(id);
  std::ranges::replace(spaced, '-', ' ');
  std::vector<std::string> words = split(spaced, ' ');
  for (std::string& word : words) {
    const bool has_upper = std::ranges::any_of(word, [](unsigned char c) { return std::isupper(c) != 0; });
    const bool has_lower = std::ranges::any_of(word, [](unsigned char c) { return std::islower(c) != 0; });
    if (has_upper || !has_lower || std::regex_match(word, std::regex(R"(v\d+(?:\.\d+)*|\d.*)"))) continue;
    bool after_letter = false;
    for (char& c : word) {
      if (!after_letter) c = upper(c);
      after_letter = is_letter(c);
    }
  }
  return fmt::format("{}", fmt::join(words, " "));
}

std::string size_label(std::uint64_t parameters) {
  struct Unit {
    double scale;
    char suffix;
  };
  constexpr Unit kUnits[] = {{1e12, 'T'}, {1e9, 'B'}, {1e6, 'M'}, {1e3, 'K'}};
  const auto count = static_cast<double>(parameters);
  const Unit* unit =
      std::ranges::find_if(kUnits, [&](const Unit& candidate) { return count > candidate.scale; });
  if (unit == std::end(kUnits)) --unit;
  const double scaled = count * (1 / unit->scale);
  const double rounded = std::nearbyint(scaled);
  const int digits =
      rounded < 1 ? 0 : static_cast<int>(std::to_string(static_cast<std::uint64_t>(rounded)).size());
  return fmt::format("{:.{}f}{}", scaled, std::max(2 - digits, 0), unit->suffix);
}

std::string size_label(const ParameterCounts& parameters) {
  if (parameters.experts == 0) return size_label(parameters.total);
  const auto with_one = parameters.total - (parameters.experts - 1) * parameters.per_expert;
  return fmt::format("{}x{}", parameters.experts, size_label(with_one));
}

}  // namespace tessera::model
