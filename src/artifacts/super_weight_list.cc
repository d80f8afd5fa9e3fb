#include "artifacts/super_weight_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <tuple>

#include "artifacts/json_fields.h"
#include "foundation/base/error.h"
#include "foundation/base/mapped_file.h"
#include "foundation/base/printable.h"
#include "foundation/codecs/row_reader.h"
#include "foundation/formats/json/strict_json.h"

namespace tessera {
namespace {

using nlohmann::json;

constexpr std::uint64_t kVersion = 1;
constexpr std::string_view kKind = "list of super weights";
constexpr std::size_t kHashDigits = 32;

constexpr std::array kFields = {
    JsonField{"super_weights_version", FieldType::whole},
    JsonField{"model_hash", FieldType::text_or_null, true},
    JsonField{"coverage", FieldType::object_or_null, true},
    JsonField{"activation_spikes", FieldType::object_or_null, true},
    JsonField{"weights", FieldType::list},
    JsonField{"weights[].tensor", FieldType::text},
    JsonField{"weights[].row", FieldType::whole},
    JsonField{"weights[].column", FieldType::whole},
    JsonField{"weights[].notion", FieldType::text},
    JsonField{"weights[].block_ratio", FieldType::number_or_null, true},
};

constexpr std::array kCoverageFields = {
    JsonField{"coverage.asked", FieldType::positive},
    JsonField{"coverage.considered", FieldType::whole},
    JsonField{"coverage.score", FieldType::text},
    JsonField{"coverage.fence", FieldType::number_or_null, true},
    JsonField{"coverage.found", FieldType::whole},
};

constexpr std::array kSpikeFields = {
    JsonField{"activation_spikes.input_ratio", FieldType::positive},
    JsonField{"activation_spikes.output_ratio", FieldType::positive},
    JsonField{"activation_spikes.tokens", FieldType::whole},
    JsonField{"activation_spikes.found", FieldType::whole},
};

json or_null(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }

json to_json(const SuperWeight& weight) {
  return {{"tensor", weight.tensor},
          {"row", weight.row},
          {"column", weight.column},
          {"value", weight.value},
          {"score", weight.score},
          {"notion", name_of(weight.notion)},
          {"block_ratio", or_null(weight.block_ratio)}};
}

json to_json(const CoverageOutcome& coverage) {
  return {{"asked", coverage.asked},         {"considered", coverage.considered}, {"score", coverage.score},
          {"threshold", coverage.threshold}, {"fence", or_null(coverage.fence)},  {"found", coverage.found}};
}

json to_json(const SpikeOutcome& spikes) {
  return {{"input_ratio", spikes.input_ratio},
          {"output_ratio", spikes.output_ratio},
          {"tokens", spikes.tokens},
          {"found", spikes.found}};
}

/// Reads members of a document whose fields are checked already.
class ListReader {
 public:
  explicit ListReader(const std::string& file) : file_(file) {}

  SuperWeightList read(const json& document) const {
    check_fields(document, kFields, kKind, file_);
    if (document["super_weights_version"] != kVersion) {
      fail(fmt::format("\"super_weights_version\" is {}, this version of Tessera reads {}; find them again",
                       document["super_weights_version"].dump(), kVersion));
    }
    SuperWeightList list;
    list.model_hash = hash_of(document);
    if (has(document, "coverage")) list.coverage = coverage_of(document);
    if (has(document, "activation_spikes")) list.spikes = spikes_of(document);
    std::set<std::tuple<SuperWeightNotion, std::string_view, std::uint64_t, std::uint64_t>> places;
    const auto& weights = document["weights"];
    list.weights.reserve(weights.size());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      list.weights.push_back(weight_of(weights[i], fmt::format("weights[{}]", i)));
      const auto& name = weights[i]["tensor"].get_ref<const std::string&>();
      const auto& weight = list.weights.back();
      if (!places.emplace(weight.notion, name, weight.row, weight.column).second) {
        fail(fmt::format("\"weights[{}]\" stands twice: {}, row {}, column {}", i, printable(name),
                         weight.row, weight.column));
      }
    }
    return list;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw BadFileError({.file = file_}, what); }

  static bool has(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && !found->is_null();
  }

  /// A finite number of at least `least`.
  double number(const json& object, const char* key, const std::string& place, double least) const {
    const auto found = object.find(key);
    if (found != object.end() && found->is_number() && found->get<double>() >= least &&
        std::isfinite(found->get<double>())) {
      return found->get<double>();
    }
    fail(fmt::format("no {}: \"{}.{}\" is to be a finite number{}", kKind, place, key,
                     least == 0 ? " from 0 on" : ""));
  }

  std::string hash_of(const json& document) const {
    if (!has(document, "model_hash")) return {};
    auto hash = document["model_hash"].get<std::string>();
    const bool is_hash = hash.size() == kHashDigits && std::ranges::all_of(hash, [](char digit) {
                           return (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f');
                         });
    if (!is_hash) fail(fmt::format("\"model_hash\" is to be {} hexadecimal digits", kHashDigits));
    return hash;
  }

  CoverageOutcome coverage_of(const json& document) const {
    check_fields(document, kCoverageFields, kKind, file_);
    const auto& fields = document["coverage"];
    CoverageOutcome coverage;
    coverage.asked = fields["asked"];
    coverage.considered = fields["considered"];
    coverage.score = fields["score"];
    coverage.threshold = number(fields, "threshold", "coverage", 0);
    if (has(fields, "fence")) coverage.fence = number(fields, "fence", "coverage", 0);
    coverage.found = fields["found"];
    return coverage;
  }

  SpikeOutcome spikes_of(const json& document) const {
    check_fields(document, kSpikeFields, kKind, file_);
    const auto& fields = document["activation_spikes"];
    return {.input_ratio = fields["input_ratio"],
            .output_ratio = fields["output_ratio"],
            .tokens = fields["tokens"],
            .found = fields["found"]};
  }

  SuperWeight weight_of(const json& fields, const std::string& place) const {
    constexpr double kLargest = std::numeric_limits<float>::max();
    SuperWeight weight;
    weight.tensor = fields["tensor"];
    weight.row = fields["row"];
    weight.column = fields["column"];
    const double value = number(fields, "value", place, -kLargest);
    if (value > kLargest) fail(fmt::format("\"{}.value\" is beyond float32", place));
    weight.value = static_cast<float>(value);
    weight.score = number(fields, "score", place, 0);
    const auto notion = super_weight_notion_from_name(fields["notion"].get<std::string>());
    if (!notion) {
      fail(fmt::format("\"{}.notion\" is '{}'; known are {} and {}", place,
                       printable(fields["notion"].get<std::string>()), name_of(SuperWeightNotion::coverage),
                       name_of(SuperWeightNotion::activation_spike)));
    }
    weight.notion = *notion;
    if (has(fields, "block_ratio")) weight.block_ratio = number(fields, "block_ratio", place, 0);
    return weight;
  }

  const std::string& file_;
};

/// Finds the weights of a list in a model, or says why the list is of another.
class Locator {
 public:
  Locator(const WeightSource& source, const std::string& file)
      : source_(source), file_(file), rows_(source) {}

  std::size_t tensor_of(const SuperWeight& weight) const {
    const auto found = source_.find(weight.tensor);
    if (!found) fail(weight, "the model has no such tensor");
    const auto& tensor = source_.tensors()[*found];
    if (!is_weight_type(tensor.type))
      fail(weight, fmt::format("it is {}, which holds no weights", name_of(tensor.type)));
    if (weight.row >= tensor.rows() || weight.column >= tensor.columns()) {
      fail(weight, fmt::format("row {}, column {} is outside of its {} rows of {}", weight.row, weight.column,
                               tensor.rows(), tensor.columns()));
    }
    return *found;
  }

  void require_value(const SuperWeight& weight, std::size_t tensor) {
    const float value = rows_.row(tensor, weight.row)[weight.column];
    if (value == weight.value) return;
    fail(weight,
         fmt::format("row {}, column {} is {}, not {}", weight.row, weight.column, value, weight.value));
  }

 private:
  [[noreturn]] void fail(const SuperWeight& weight, const std::string& what) const {
    throw BadFileError(
        {.file = file_, .tensor = printable(weight.tensor)},
        fmt::format("{}; the list is of another model than {}: find them again", what, source_.name()));
  }

  const WeightSource& source_;
  const std::string& file_;
  codecs::RowReader rows_;
};

}  // namespace

std::string_view name_of(SuperWeightNotion notion) {
  return notion == SuperWeightNotion::coverage ? "coverage" : "activation_spike";
}

std::optional<SuperWeightNotion> super_weight_notion_from_name(std::string_view name) {
  for (const auto notion : {SuperWeightNotion::coverage, SuperWeightNotion::activation_spike}) {
    if (name == name_of(notion)) return notion;
  }
  return std::nullopt;
}

json to_json(const SuperWeightList& list) {
  auto weights = json::array();
  for (const auto& weight : list.weights) weights.push_back(to_json(weight));
  return {{"super_weights_version", kVersion},
          {"tessera_version", TESSERA_VERSION},
          {"model_hash", list.model_hash.empty() ? json(nullptr) : json(list.model_hash)},
          {"coverage", list.coverage ? to_json(*list.coverage) : json(nullptr)},
          {"activation_spikes", list.spikes ? to_json(*list.spikes) : json(nullptr)},
          {"weights", std::move(weights)}};
}

SuperWeightList parse_super_weights(std::span<const std::byte> bytes, const std::string& file) {
  return ListReader(file).read(parse_json(bytes, file));
}

SuperWeightList read_super_weights(const std::filesystem::path& path) {
  const MappedFile mapped(path);
  return parse_super_weights(mapped.bytes(), path.string());
}

std::vector<std::size_t> locate_super_weights(const SuperWeightList& list, const WeightSource& source,
                                              const std::string& file) {
  Locator locator(source, file);
  std::vector<std::size_t> tensors;
  tensors.reserve(list.weights.size());
  for (const auto& weight : list.weights) tensors.push_back(locator.tensor_of(weight));
  // Lists go by score; every row is to be read once.
  std::vector<std::size_t> by_row(list.weights.size());
  std::iota(by_row.begin(), by_row.end(), std::size_t{0});
  std::ranges::stable_sort(by_row, {},
                           [&](std::size_t i) { return std::pair(tensors[i], list.weights[i].row); });
  for (const auto i : by_row) locator.require_value(list.weights[i], tensors[i]);
  return tensors;
}

}  // namespace tessera
