#include "model/text/special_splitter.h"

#include <algorithm>
#include <string>

namespace tessera::model {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool is_special(TokenType type) {
  return type == TokenType::control || type == TokenType::user_defined || type == TokenType::unknown;
}

/// Models whose special tokens take the white space behind them along, told by general.name as llama.cpp
/// tells them; `except` are those that do not.
struct SpaceRule {
  std::array<std::string_view, 2> names;
  std::array<std::string_view, 3> except;
};
constexpr SpaceRule kTakesSpaceBehind = {{"phi-3", "phi3"}, {"<unk>", "<s>", "<|endoftext|>"}};

bool is_of_such_a_model(const gguf::Metadata& metadata) {
  std::string name = metadata.text("general.name").value_or("");
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return std::ranges::any_of(kTakesSpaceBehind.names,
                             [&](std::string_view part) { return name.find(part) != std::string::npos; });
}

/// Appends to `parts` what `special` cuts `text` into.
template <class Special>
void cut(std::string_view text, const Special& special, std::vector<Fragment>& parts) {
  std::size_t found = text.find(special.text);
  while (found != std::string_view::npos) {
    if (found > 0) parts.push_back({text.substr(0, found)});
    parts.push_back({text.substr(found, special.text.size()), special.token});
    text.remove_prefix(found + special.text.size());
    if (special.takes_space_behind) {
      while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    }
    found = text.find(special.text);
  }
  if (!text.empty()) parts.push_back({text});
}

}  // namespace

SpecialSplitter::SpecialSplitter(const TokenTable& table, const gguf::Metadata& metadata) {
  const bool takes_space = is_of_such_a_model(metadata);
  for (std::size_t i = 0; i < table.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const TokenType type = table.type(id);
    if (!is_special(type)) continue;
    const std::string_view text = table.text(id);
    const bool excepted = std::ranges::find(kTakesSpaceBehind.except, text) != kTakesSpaceBehind.except.end();
    specials_.push_back({text, id, type != TokenType::user_defined, takes_space && !excepted});
  }
  std::ranges::sort(specials_, {}, &Special::text);
  for (std::size_t end = 0; end < specials_.size();) {
    const std::size_t begin = end;
    const char first = specials_[begin].text.front();
    while (end < specials_.size() && specials_[end].text.front() == first) ++end;
    by_first_byte_[static_cast<unsigned char>(first)] = {begin, end};
  }
}

std::vector<const SpecialSplitter::Special*> SpecialSplitter::occurring(std::string_view text,
                                                                        bool control) const {
  std::vector<bool> occurs(specials_.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto [begin, end] = by_first_byte_[static_cast<unsigned char>(text[at])];
    auto first = specials_.begin() + static_cast<std::ptrdiff_t>(begin);
    auto last = specials_.begin() + static_cast<std::ptrdiff_t>(end);
    // Those from `first` to `last` agree with the text in their first `length` bytes.
    for (std::size_t length = 1; first != last; ++length) {
      if (first->text.size() == length) {
        occurs[static_cast<std::size_t>(first - specials_.begin())] = true;
        ++first;
      }
      if (at + length == text.size()) break;
      const auto next = static_cast<unsigned char>(text[at + length]);
      const auto byte_of = [&](const Special& special) {
        return static_cast<unsigned char>(special.text[length]);
      };
      first =
          std::partition_point(first, last, [&](const Special& special) { return byte_of(special) < next; });
      last =
          std::partition_point(first, last, [&](const Special& special) { return byte_of(special) == next; });
    }
  }
  std::vector<const Special*> found;
  for (std::size_t i = 0; i < specials_.size(); ++i) {
    if (occurs[i] && (control || !specials_[i].is_control)) found.push_back(&specials_[i]);
  }
  std::ranges::stable_sort(found, std::greater(),
                           [](const Special* special) { return special->text.size(); });
  return found;
}

std::vector<Fragment> SpecialSplitter::split(std::string_view text, bool control) const {
  std::vector<Fragment> parts;
  if (!text.empty()) parts.push_back({text});
  for (const Special* special : occurring(text, control)) {
    std::vector<Fragment> finer;
    for (const Fragment& part : parts) {
      if (part.token != Fragment::kNoToken) {
        finer.push_back(part);
      } else {
        cut(part.text, *special, finer);
      }
    }
    parts = std::move(finer);
  }
  return parts;
}

bool SpecialSplitter::takes_space_behind(TokenId token) const {
  const auto special = std::ranges::find(specials_, token, &Special::token);
  return special != specials_.end() && special->takes_space_behind;
}

}  // namespace tessera::model
