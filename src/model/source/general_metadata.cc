#include "model/source/general_metadata.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <regex>
#include <string>
#include <vector>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/base/shortest_float32.h"
#include "model/source/model_card.h"
#include "model/source/model_name.h"

namespace tessera::model {
namespace {

enum class Number { integer, real };

struct SamplingRule {
  std::string_view key;        ///< of generation_config.json
  std::string_view other_key;  ///< looked at when the first is not given
  std::string_view gguf_key;
  Number number;
};

constexpr std::array kSamplingRules = {
    SamplingRule{"top_k", "", "general.sampling.top_k", Number::integer},
    SamplingRule{"top_p", "", "general.sampling.top_p", Number::real},
    SamplingRule{"min_p", "", "general.sampling.min_p", Number::real},
    SamplingRule{"xtc_probability", "", "general.sampling.xtc_probability", Number::real},
    SamplingRule{"xtc_threshold", "", "general.sampling.xtc_threshold", Number::real},
    SamplingRule{"temperature", "", "general.sampling.temp", Number::real},
    SamplingRule{"penalty_last_n", "", "general.sampling.penalty_last_n", Number::integer},
    SamplingRule{"penalty_repeat", "repetition_penalty", "general.sampling.penalty_repeat", Number::real},
    SamplingRule{"mirostat", "", "general.sampling.mirostat", Number::integer},
    SamplingRule{"mirostat_tau", "", "general.sampling.mirostat_tau", Number::real},
    SamplingRule{"mirostat_eta", "", "general.sampling.mirostat_eta", Number::real},
};

/// A key of the model card, the spellings in use, and the part of the model's name that stands in for it.
struct CardRule {
  std::string_view gguf_key;
  std::array<std::string_view, 3> keys;
  std::string ModelName::*part = nullptr;
};

constexpr std::array kCardRules = {
    CardRule{"general.name", {"name", "model_name"}, &ModelName::name},
    CardRule{"general.author", {"author", "model_author", "model_creator"}},
    CardRule{"general.version", {"version", "model_version"}, &ModelName::version},
    CardRule{"general.organization", {"organization", "model_organization"}, &ModelName::organization},
    CardRule{"general.finetune", {"finetune", "model_finetune"}, &ModelName::finetune},
    CardRule{"general.basename", {"basename", "model_basename", "model_type"}, &ModelName::basename},
    CardRule{"general.description", {"description", "model_description"}},
    CardRule{"general.size_label", {"size_label", "model_size_label"}, &ModelName::size_label},
    CardRule{"general.license", {"license"}},
    CardRule{"general.license.name", {"license_name"}},
    CardRule{"general.license.link", {"license_link"}},
    CardRule{"general.source.url", {"url", "model_url"}},
    CardRule{"general.source.doi", {"doi", "model_doi"}},
    CardRule{"general.source.uuid", {"uuid", "model_uuid"}},
    CardRule{"general.source.repo_url", {"repo_url", "model_repo_url"}},
};

void add_sampling(const json::JsonObject& generation, gguf::Metadata& metadata) {
  for (const SamplingRule& rule : kSamplingRules) {
    const std::string_view key = generation.contains(rule.key) ? rule.key : rule.other_key;
    if (!generation.contains(key)) continue;
    if (rule.number == Number::real) {
      metadata.set(rule.gguf_key, static_cast<float>(*generation.real(key)));
    } else {
      metadata.set(rule.gguf_key, static_cast<std::int32_t>(*generation.integer(key)));
    }
  }
}

/// The names to read parts from, the best one first.
std::vector<ModelName> names_of(const std::filesystem::path& folder, const json::JsonObject& config,
                                std::uint64_t parameters) {
  std::vector<ModelName> names;
  const auto configured = config.text("_name_or_path").value_or("");
  // With more than one slash it is a path on somebody's computer.
  if (!configured.empty() && std::ranges::count(configured, '/') <= 1) {
    names.push_back(parse_model_name(configured, parameters));
  }
  names.push_back(parse_model_name(folder.filename().string(), parameters));
  for (ModelName& name : names) {
    name.name = title_of(name.name);
    name.organization = title_of(name.organization);
  }
  return names;
}

std::string card_value(const CardRule& rule, const ModelCard& card) {
  for (const std::string_view key : rule.keys) {
    if (const auto& values = card.values(key); !values.empty())
      return fmt::format("{}", fmt::join(values, ","));
  }
  return {};
}

void add_names(const ModelCard& card, const std::vector<ModelName>& names, const ParameterCounts& parameters,
               gguf::Metadata& metadata) {
  for (const CardRule& rule : kCardRules) {
    std::string value = card_value(rule, card);
    for (const ModelName& name : names) {
      if (value.empty() && rule.part != nullptr) value = name.*rule.part;
    }
    if (value.empty() && rule.part == &ModelName::size_label) value = size_label(parameters);
    if (!value.empty()) metadata.set(rule.gguf_key, std::move(value));
  }
}

/// One model or data set that this one is made from, by its Hugging Face id or its address.
void add_ancestor(const std::string& prefix, const std::string& id, std::uint64_t parameters,
                  gguf::Metadata& metadata) {
  static const std::regex address(R"((?:https?|ssh)://.*)");
  static const std::regex hugging_face(R"(https?://huggingface\.co/([^/]+/[^/]+))");
  const bool is_address = std::regex_match(id, address);
  std::smatch parts;
  const bool is_known = !is_address || std::regex_match(id, parts, hugging_face);
  const ModelName name =
      is_known ? parse_model_name(is_address ? parts[1].str() : id, parameters) : ModelName();
  if (!name.name.empty()) metadata.set(prefix + "name", title_of(name.name));
  if (!name.version.empty()) metadata.set(prefix + "version", name.version);
  if (!name.organization.empty()) metadata.set(prefix + "organization", title_of(name.organization));
  if (is_address) metadata.set(prefix + "repo_url", id);
  if (!is_address && !name.organization.empty()) {
    metadata.set(prefix + "repo_url",
                 fmt::format("https://huggingface.co/{}/{}", name.organization, name.name));
  }
}

const std::vector<std::string>& first_given(const ModelCard& card,
                                            std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    if (!card.values(key).empty()) return card.values(key);
  }
  return card.values({});
}

void add_ancestors(std::string_view kind, const std::vector<std::string>& ids, std::uint64_t parameters,
                   gguf::Metadata& metadata) {
  if (ids.empty()) return;
  metadata.set(fmt::format("general.{}.count", kind), static_cast<std::uint32_t>(ids.size()));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    add_ancestor(fmt::format("general.{}.{}.", kind, i), ids[i], parameters, metadata);
  }
}

void add_list(std::string_view key, const ModelCard& card, std::initializer_list<std::string_view> card_keys,
              gguf::Metadata& metadata) {
  std::vector<std::string> all;
  for (const std::string_view card_key : card_keys) {
    all.insert(all.end(), card.values(card_key).begin(), card.values(card_key).end());
  }
  if (!all.empty()) metadata.set(key, gguf::Array(std::move(all)));
}

/// A text as YAML has it in any place: quoted and escaped as in JSON.
std::string quoted(const std::string& text, const std::string& file) {
  try {
    return json::Value(text).dump();
  } catch (const json::Value::exception&) {
    throw BadFileError({.file = file},
                       fmt::format("the text '{}' in the metadata is not valid UTF-8", printable(text)));
  }
}

std::string card_list(std::string_view key, const std::vector<std::string>& values, const std::string& file) {
  if (values.empty()) return {};
  std::string lines = fmt::format("{}:\n", key);
  for (const std::string& value : values) lines += fmt::format("- {}\n", quoted(value, file));
  return lines;
}

/// The ids, or addresses, of the models or data sets that add_ancestors() lists.
std::vector<std::string> ancestors_of(std::string_view kind, const gguf::Metadata& metadata) {
  constexpr std::string_view kHuggingFace = "https://huggingface.co/";
  std::vector<std::string> ids;
  for (std::size_t i = 0;; ++i) {
    const std::string prefix = fmt::format("general.{}.{}.", kind, i);
    const auto address = metadata.text(prefix + "repo_url");
    const auto name = metadata.text(prefix + "name");
    if (!address && !name) return ids;
    if (address && address->starts_with(kHuggingFace)) {
      ids.push_back(address->substr(kHuggingFace.size()));
    } else {
      ids.push_back(address ? *address : *name);
    }
  }
}

std::vector<std::string> texts_of(const gguf::Metadata& metadata, std::string_view key) {
  const auto* texts = metadata.texts(key);
  return texts == nullptr ? std::vector<std::string>() : *texts;
}

}  // namespace

void add_general_metadata(const std::filesystem::path& folder, const json::JsonObject& config,
                          const ParameterCounts& parameters, gguf::Metadata& metadata) {
  const ModelCard card(folder);
  const auto real_folder = std::filesystem::weakly_canonical(folder);
  add_sampling(json::read_json_object_if_present(folder / "generation_config.json"), metadata);
  add_names(card, names_of(real_folder, config, parameters.total), parameters, metadata);
  add_ancestors("base_model", first_given(card, {"base_model", "base_models", "base_model_sources"}),
                parameters.total, metadata);
  add_ancestors("dataset", first_given(card, {"datasets", "dataset", "dataset_sources"}), parameters.total,
                metadata);
  add_list("general.tags", card, {"tags", "pipeline_tag"}, metadata);
  add_list("general.languages", card, {"languages", "language"}, metadata);
}

json::Value sampling_of(const gguf::Metadata& metadata) {
  json::Value sampling = json::Value::object();
  for (const SamplingRule& rule : kSamplingRules) {
    const auto* value = metadata.find(rule.gguf_key);
    if (value == nullptr) continue;
    const std::string key(rule.other_key.empty() ? rule.key : rule.other_key);
    if (const auto* whole = std::get_if<std::int32_t>(value)) {
      sampling[key] = *whole;
    } else if (const auto real = metadata.real(rule.gguf_key)) {
      sampling[key] = shortest_float32(*real);
    }
  }
  return sampling;
}

std::string model_card_of(const gguf::Metadata& metadata, const std::string& file) {
  std::string card = "---\n";
  for (const CardRule& rule : kCardRules) {
    if (const auto value = metadata.text(rule.gguf_key))
      card += fmt::format("{}: {}\n", rule.keys.front(), quoted(*value, file));
  }
  card += card_list("base_model", ancestors_of("base_model", metadata), file);
  card += card_list("datasets", ancestors_of("dataset", metadata), file);
  card += card_list("tags", texts_of(metadata, "general.tags"), file);
  card += card_list("language", texts_of(metadata, "general.languages"), file);
  return card + "---\n";
}

}  // namespace tessera::model
