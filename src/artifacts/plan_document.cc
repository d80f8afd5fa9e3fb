#include "artifacts/plan_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "artifacts/config_reader.h"
#include "artifacts/rule_reader.h"
#include "foundation/base/error.h"
#include "foundation/base/mapped_file.h"
#include "foundation/base/nearest_name.h"
#include "foundation/base/printable.h"
#include "model/architecture/kept_tensors.h"

namespace tessera {
namespace {

/// JSON's strings are YAML's.
std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

/// Whether YAML takes `name` for itself without quotation marks; without a dot it could be `null`.
bool is_plain(std::string_view name) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  constexpr std::string_view kOthers = "0123456789._";
  if (name.find('.') == std::string_view::npos) return false;
  if (kLetters.find(name.front()) == std::string_view::npos) return false;
  return std::ranges::all_of(name, [&](char letter) {
    return kLetters.find(letter) != std::string_view::npos || kOthers.find(letter) != std::string_view::npos;
  });
}

/// The header's fields under their keys, without the empty ones.
nlohmann::ordered_json fields_of(const PlanHeader& header) {
  nlohmann::ordered_json fields = nlohmann::ordered_json::object();
  const auto add_text = [&](const char* key, const std::string& text) {
    if (!text.empty()) fields[key] = text;
  };
  add_text("tessera_version", header.tessera_version);
  add_text("model", header.model);
  add_text("profile", header.profile);
  add_text("target", header.target);
  if (header.file_bytes != 0) fields["file_bytes"] = header.file_bytes;
  if (header.predicted_loss) fields["predicted_loss"] = *header.predicted_loss;
  if (header.sensitivity) fields["sensitivity"] = name_of(*header.sensitivity);
  add_text("encoder", header.encoder);
  return fields;
}

struct PlanKey {
  std::string_view name;
  void (*read)(PlanDocument&, const ConfigValue&);
};

void read_sensitivity(PlanDocument& document, const ConfigValue& value) {
  document.header.sensitivity = sensitivity_method_from_name(value.text());
  if (document.header.sensitivity) return;
  using enum SensitivityMethod;
  value.refuse_unknown("sensitivity", std::array{name_of(fisher), name_of(measured), name_of(prior)});
}

void read_tensors(PlanDocument& document, const ConfigValue& value) {
  document.place = value.place();
  for (const auto& field : value.fields()) {
    document.tensors.push_back({field.key, read_weight_type(field.value), field.key_place.place()});
  }
}

template <std::string PlanHeader::*member>
void read_text(PlanDocument& document, const ConfigValue& value) {
  document.header.*member = value.text();
}

constexpr std::array<PlanKey, 9> kPlanKeys = {
    PlanKey{"tessera_version", read_text<&PlanHeader::tessera_version>},
    PlanKey{"model", read_text<&PlanHeader::model>},
    PlanKey{"profile", read_text<&PlanHeader::profile>},
    PlanKey{"target", read_text<&PlanHeader::target>},
    PlanKey{"file_bytes", [](PlanDocument& document,
                             const ConfigValue& value) { document.header.file_bytes = value.count(); }},
    PlanKey{"predicted_loss",
            [](PlanDocument& document, const ConfigValue& value) {
              document.header.predicted_loss = value.number();
            }},
    PlanKey{"sensitivity", read_sensitivity},
    PlanKey{"encoder", read_text<&PlanHeader::encoder>},
    PlanKey{"tensors", read_tensors},
};

[[noreturn]] void refuse(const SourceLine& place, const std::string& what) {
  throw BadFileError({.file = place.text()}, what);
}

/// A type near to `wanted` that rows of this length can have.
ElementType fitting(ElementType wanted, std::uint64_t columns) {
  const auto fallback = info(wanted).fallback;
  return fallback && columns % info(*fallback).block_weights == 0 ? *fallback : ElementType::F16;
}

void require_fit(const TensorDescriptor& tensor, const PlannedType& planned) {
  if (!model::may_be_quantized(tensor) && planned.type != tensor.type) {
    refuse(planned.place, fmt::format("tensor '{}' is never quantized and stays {}; remove the line",
                                      printable(tensor.name), name_of(tensor.type)));
  }
  const auto width = info(planned.type).block_weights;
  if (tensor.columns() % width == 0) return;
  refuse(planned.place,
         fmt::format("tensor '{}' cannot be {}: its rows have {} weights, no multiple of {}; {} fits",
                     printable(tensor.name), name_of(planned.type), tensor.columns(), width,
                     name_of(fitting(planned.type, tensor.columns()))));
}

void require_known_tensors(const PlanDocument& document, std::span<const TensorDescriptor> tensors) {
  std::vector<std::string_view> names;
  for (const auto& tensor : tensors) names.push_back(tensor.name);
  auto sorted = names;
  std::ranges::sort(sorted);
  for (const auto& planned : document.tensors) {
    if (std::ranges::binary_search(sorted, std::string_view(planned.tensor))) continue;
    refuse(planned.place,
           fmt::format("the model has no tensor '{}'{}; a plan is for one model: remove the line "
                       "or make a new plan",
                       printable(planned.tensor), did_you_mean(planned.tensor, names)));
  }
}

}  // namespace

std::string to_yaml(const QuantPlan& plan, const PlanHeader& header) {
  std::string text =
      "# Change the types as you like and give the file back: tessera quantize MODEL -o OUT --plan FILE\n";
  const auto fields = fields_of(header);
  for (const auto& [key, value] : fields.items()) {
    text += fmt::format("{}: {}\n", key, value.is_string() ? quoted(value) : value.dump());
  }
  text += "tensors:\n";
  for (const auto& tensor : plan.tensors) {
    if (!model::may_be_quantized(tensor.source)) continue;
    const auto& name = tensor.source.name;
    text +=
        fmt::format("  {}: {}  # {:.2f} bits per weight, {} bytes", is_plain(name) ? name : quoted(name),
                    name_of(tensor.target), info(tensor.target).bits_per_weight(), tensor.output().bytes());
    if (tensor.predicted_loss) text += fmt::format(", loss {:.4g}", *tensor.predicted_loss);
    text += fmt::format(", {}\n", name_of(tensor.reason));
  }
  return text;
}

PlanDocument read_plan(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  const auto bytes = mapped.bytes();
  return parse_plan({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file.string());
}

PlanDocument parse_plan(std::string_view text, const std::string& file) {
  const SourceLine place{file, 0};
  const auto root = parse_config(text, place);
  std::vector<std::string_view> known;
  for (const auto& key : kPlanKeys) known.push_back(key.name);
  const ConfigValue value(root, place, "plan");
  PlanDocument document;
  document.header.tessera_version.clear();
  for (const auto& field : value.fields(known)) {
    std::ranges::find(kPlanKeys, field.key, &PlanKey::name)->read(document, field.value);
  }
  if (document.tensors.empty()) value.refuse("the plan has no 'tensors'; tessera plan writes a complete one");
  return document;
}

QuantPlan apply_plan(const PlanDocument& document, std::span<const TensorDescriptor> tensors) {
  require_known_tensors(document, tensors);
  std::map<std::string_view, const PlannedType*> planned;
  for (const auto& tensor : document.tensors) planned.emplace(tensor.tensor, &tensor);
  QuantPlan plan;
  for (const auto& tensor : tensors) {
    const auto found = planned.find(tensor.name);
    if (found != planned.end()) {
      require_fit(tensor, *found->second);
    } else if (model::may_be_quantized(tensor)) {
      refuse(document.place,
             fmt::format("the plan has no line for tensor '{}' of the model; add one ({}: {})",
                         printable(tensor.name), printable(tensor.name), name_of(tensor.type)));
    }
    const bool listed = found != planned.end() && model::may_be_quantized(tensor);
    plan.tensors.push_back({.source = tensor,
                            .place = model::place_of(tensor.name),
                            .target = listed ? found->second->type : tensor.type,
                            .reason = listed ? ChoiceReason::plan_file : ChoiceReason::kept});
  }
  name_after_largest_part(plan);
  return plan;
}

}  // namespace tessera
