#include "model/text/special_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "model/text/added_tokens.h"

namespace tessera::model {
namespace {

using json::JsonObject;

/// A purpose of a token: as Hugging Face files call it and the GGUF keys it has.
struct Purpose {
  std::string_view name;
  std::string_view id_key;   ///< empty: GGUF has none
  std::string_view add_key;  ///< empty: GGUF has none
};

/// The last row is what becomes of an EOS token that a post-processor displaces: it ends a turn.
constexpr std::array kPurposes = {
    Purpose{"bos", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.add_bos_token"},
    Purpose{"eos", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_eos_token"},
    Purpose{"unk", "tokenizer.ggml.unknown_token_id", ""},
    Purpose{"sep", "tokenizer.ggml.seperator_token_id", "tokenizer.ggml.add_sep_token"},
    Purpose{"pad", "tokenizer.ggml.padding_token_id", ""},
    Purpose{"cls", "", ""},
    Purpose{"mask", "tokenizer.ggml.mask_token_id", ""},
    Purpose{"eot", "tokenizer.ggml.eot_token_id", ""},
};
constexpr const Purpose& kEndOfTurn = kPurposes.back();
constexpr auto kNamedPurposes = std::span(kPurposes).first<kPurposes.size() - 1>();

/// Values by purpose, in the order in which they became known.
template <class T>
class ValuesByPurpose {
 public:
  /// A value that counts when none is known yet.
  void add(std::string_view purpose, T value) {
    if (find(purpose) == values_.end()) values_.emplace_back(purpose, value);
  }
  /// A value that counts.
  void set(std::string_view purpose, T value) {
    add(purpose, value);
    find(purpose)->second = value;
  }
  auto begin() const { return values_.begin(); }
  auto end() const { return values_.end(); }

 private:
  auto find(std::string_view purpose) {
    return std::ranges::find(values_, purpose, &std::pair<std::string_view, T>::first);
  }

  std::vector<std::pair<std::string_view, T>> values_;
};

const Purpose& purpose_of(std::string_view name) {
  return *std::ranges::find(kPurposes, name, &Purpose::name);
}

/// The spelling of the token under `key`, which is a string or an object with "content".
std::optional<std::string> spelling(const JsonObject& tokenizer_config, const std::string& key) {
  const json::Value* value = tokenizer_config.find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  return value->is_object() ? tokenizer_config.object(key).text("content") : std::nullopt;
}

/// step["SpecialToken"]["id"] or step["Sequence"]["id"] of a template, empty when it is not of that kind.
std::string id_in_template(const json::Value& step, std::string_view kind) {
  if (!step.is_object() || !step.contains(kind) || !step[std::string(kind)].is_object()) return {};
  const json::Value& inner = step[std::string(kind)];
  return inner.contains("id") && inner["id"].is_string() ? inner["id"].get<std::string>() : std::string();
}

std::vector<json::Value> array_of(const json::Value& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_array()) return {};
  return object[key].get<std::vector<json::Value>>();
}

class SpecialTokens {
 public:
  explicit SpecialTokens(const TokenizerFiles& files) : files_(files) {
    for (const Purpose& purpose : kNamedPurposes) {
      const std::string key = fmt::format("{}_token", purpose.name);
      names_[purpose.name] = spelling(files_.tokenizer_config, key).value_or("");
    }
    if (!files_.tokenizer.empty()) {
      if (names_["bos"].empty()) names_["bos"] = names_["cls"];
      if (names_["eos"].empty()) names_["eos"] = names_["sep"];
      read_post_processor();
    }
    read_flags();
    read_ids();
  }

  void write(std::uint32_t vocabulary_size, gguf::Metadata& metadata) const {
    for (const auto& [purpose, id] : ids_) {
      const std::string_view key = purpose_of(purpose).id_key;
      if (!key.empty() && id < vocabulary_size) metadata.set(key, static_cast<std::uint32_t>(id));
    }
    for (const auto& [purpose, flag] : flags_) {
      const std::string_view key = purpose_of(purpose).add_key;
      if (!key.empty()) metadata.set(key, flag);
    }
  }

 private:
  void read_post_processor() {
    const json::Value* processor = files_.tokenizer.find("post_processor");
    if (processor == nullptr || !processor->is_object()) return;
    const bool is_sequence = processor->contains("processors");
    for (const json::Value& step :
         is_sequence ? array_of(*processor, "processors") : std::vector<json::Value>{*processor}) {
      const bool has_type = step.is_object() && step.contains("type") && step["type"].is_string();
      const std::string type = has_type ? step["type"].get<std::string>() : std::string();
      if (type == "ByteLevel") {
        flags_.add("bos", false);
        flags_.add("eos", false);
      } else if (type == "TemplateProcessing") {
        read_template(array_of(step, "single"), array_of(step, "pair"));
      }
    }
  }

  /// A template lists what surrounds one text ("single": [BOS] A [EOS]) and two ("pair": [BOS] A [SEP] B
  /// [EOS]).
  void read_template(const std::vector<json::Value>& single, std::vector<json::Value> pair) {
    const std::string first =
        single.size() > 1 ? id_in_template(single.front(), "SpecialToken") : std::string();
    const std::string last =
        single.size() > 1 ? id_in_template(single.back(), "SpecialToken") : std::string();
    if (!first.empty()) set_start(first);
    if (!last.empty()) set_end(last);
    if (!pair.empty() && !first.empty() && id_in_template(pair.front(), "SpecialToken") == first)
      pair.erase(pair.begin());
    if (!pair.empty() && !last.empty() && id_in_template(pair.back(), "SpecialToken") == last)
      pair.pop_back();
    if (pair.size() > 2 && id_in_template(pair.front(), "Sequence") == "A" &&
        id_in_template(pair.back(), "Sequence") == "B") {
      set_separator({pair.begin() + 1, pair.end() - 1}, !last.empty());
    }
  }

  void set_start(const std::string& first) {
    if (names_["bos"].empty()) names_["bos"] = first;
    if (names_["cls"].empty() && first != names_["bos"]) names_["cls"] = first;
    flags_.set("bos", first == names_["bos"] || first == names_["cls"]);
  }

  /// A text that ends in another token than the named one: the named one ends a turn.
  void set_end(const std::string& last) {
    if (last != names_["eos"]) {
      names_[kEndOfTurn.name] = names_["eos"];
      names_["eos"] = last;
    }
    flags_.set("eos", true);
  }

  void set_separator(const std::vector<json::Value>& between, bool has_end) {
    const auto separates = [&](const json::Value& step) {
      const std::string token = id_in_template(step, "SpecialToken");
      return !token.empty() && (token == names_["sep"] || token == names_["eos"]);
    };
    const bool adds =
        (separates(between.front()) && !has_end) || (between.size() == 2 && separates(between.back()));
    flags_.set("sep", adds);
    if (adds && names_["sep"].empty()) names_["sep"] = names_["eos"];
  }

  void read_flags() {
    for (const Purpose& purpose : kPurposes) {
      const json::Value* flag = files_.tokenizer_config.find(fmt::format("add_{}_token", purpose.name));
      if (flag != nullptr && flag->is_boolean()) flags_.add(purpose.name, flag->get<bool>());
    }
  }

  void read_ids() {
    const auto added = added_tokens_of_tokenizer(files_.tokenizer);
    for (const Purpose& purpose : kPurposes) {
      const std::string& name = names_[purpose.name];
      const auto token = std::ranges::find(added, name, &AddedToken::content);
      if (!name.empty() && token != added.end()) ids_.add(purpose.name, token->id);
    }
    for (const Purpose& purpose : kNamedPurposes) {
      const json::Value* id = files_.config.find(fmt::format("{}_token_id", purpose.name));
      if (id != nullptr && id->is_number_unsigned()) ids_.add(purpose.name, id->get<std::uint64_t>());
    }
  }

  const TokenizerFiles& files_;
  std::map<std::string_view, std::string> names_;  ///< spelling by purpose; empty: not named
  ValuesByPurpose<bool> flags_;                    ///< whether it is added
  ValuesByPurpose<std::uint64_t> ids_;
};

}  // namespace

void add_special_token_metadata(const TokenizerFiles& files, std::uint32_t vocabulary_size,
                                gguf::Metadata& metadata) {
  SpecialTokens(files).write(vocabulary_size, metadata);
}

std::set<std::string> named_special_tokens(const JsonObject& tokenizer_config) {
  std::set<std::string> names;
  for (const Purpose& purpose : kNamedPurposes) {
    if (auto name = spelling(tokenizer_config, fmt::format("{}_token", purpose.name)))
      names.insert(std::move(*name));
  }
  const json::Value* additional = tokenizer_config.find("additional_special_tokens");
  if (additional != nullptr && additional->is_array()) {
    for (const json::Value& token : *additional) {
      if (token.is_string()) names.insert(token.get<std::string>());
    }
  }
  return names;
}

json::Value special_token_config(const gguf::Metadata& metadata, const TokenTable& tokens) {
  json::Value config = json::Value::object();
  for (const Purpose& purpose : kNamedPurposes) {
    const auto id = purpose.id_key.empty() ? std::nullopt : metadata.unsigned_integer(purpose.id_key);
    if (id && *id < tokens.size())
      config[fmt::format("{}_token", purpose.name)] = tokens.text(static_cast<TokenId>(*id));
    const auto adds = purpose.add_key.empty() ? std::nullopt : metadata.boolean(purpose.add_key);
    if (adds) config[fmt::format("add_{}_token", purpose.name)] = *adds;
  }
  return config;
}

json::Value special_token_ids(const gguf::Metadata& metadata) {
  json::Value ids = json::Value::object();
  for (const Purpose& purpose : kNamedPurposes) {
    const auto id = purpose.id_key.empty() ? std::nullopt : metadata.unsigned_integer(purpose.id_key);
    if (id) ids[fmt::format("{}_token_id", purpose.name)] = *id;
  }
  return ids;
}

}  // namespace tessera::model
