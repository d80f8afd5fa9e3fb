#include "pipeline/protection.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "artifacts/candidate_types.h"
#include "artifacts/super_weight_list.h"
#include "foundation/base/content_hash.h"
#include "foundation/base/error.h"
#include "foundation/codecs/row_reader.h"
#include "model/architecture/model_facts.h"
#include "pipeline/cache_folder.h"
#include "pipeline/file_hashes.h"
#include "pipeline/imatrix.h"

namespace tessera::pipeline {
namespace {

/// Of a sidecar, const or not; null where it does not have the weight.
auto find_weight(auto& sidecar, const std::string& tensor, std::uint64_t row, std::uint64_t column)
    -> decltype(&sidecar.tensors.front().weights.front()) {
  const auto found = std::ranges::find(sidecar.tensors, tensor, &SidecarTensor::name);
  if (found == sidecar.tensors.end()) return nullptr;
  const auto place = [](const SidecarWeight& weight) { return std::pair(weight.row, weight.column); };
  const auto weight = std::ranges::lower_bound(found->weights, std::pair(row, column), {}, place);
  if (weight == found->weights.end() || place(*weight) != std::pair(row, column)) return nullptr;
  return &*weight;
}

}  // namespace

std::filesystem::path sidecar_path(const std::filesystem::path& output) {
  auto path = output;
  return path.replace_extension(".sidecar.gguf");
}

SuperWeightList list_to_protect(const ProtectionSettings& settings, const TextWalkJob& walks,
                                const std::optional<std::filesystem::path>& imatrix,
                                ProgressObserver& progress, const StopFlag& stop) {
  if (settings.list) return read_super_weights(*settings.list);
  auto find = settings.find;
  find.imatrix = imatrix;
  find.names_model = false;
  if (!walks.has_texts() && find.search == SuperWeightSearch::both) {
    find.search = SuperWeightSearch::coverage;
    progress.warn("without texts (-f) super weights are found by coverage alone, not by activation spikes");
  }
  return find_super_weights(walks, find, progress, stop);
}

Protection::Protection(const ProtectionSettings& settings, SuperWeightList list,
                       const model::OpenedModel& model, std::filesystem::path output)
    : settings_(settings), list_(std::move(list)), model_(model), output_(std::move(output)) {
  const auto& weights = *model.weights;
  const auto tensors = weights.tensors();
  const auto places = locate_super_weights(list_, weights, settings.list ? settings.list->string() : "");
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto& weight = list_.weights[i];
    places_.push_back({places[i], weight.row, weight.column, weight.value});
  }
  std::ranges::sort(places_, {}, &Place::key);
  const auto same = [](const Place& a, const Place& b) { return a.key() == b.key(); };
  places_.erase(std::unique(places_.begin(), places_.end(), same), places_.end());
  if (settings.method == ProtectionMethod::tensor)
    to_promote_ = stages::tensors_to_promote(list_, places, tensors, settings.promotion);
  if (settings.method == ProtectionMethod::block)
    to_promote_ = stages::crowded_tensors(list_, places, tensors, settings.promotion);
  if (settings.method == ProtectionMethod::sidecar) {
    sidecar_ = stages::plan_sidecar(
        list_, places, tensors, model.metadata.text("general.architecture").value_or(""), settings.sidecar);
  }
}

std::string Protection::shortfall() const {
  if (places_.empty()) return "no super weights were found: there is nothing to protect";
  if (settings_.method == ProtectionMethod::sidecar && sidecar_.tensors.empty()) {
    return fmt::format(
        "none of the {} super weights is worth its bytes in a sidecar (token embeddings and stacked "
        "experts cannot be in one at all): none is written",
        places_.size());
  }
  if (settings_.method == ProtectionMethod::tensor && to_promote_.empty()) {
    return fmt::format(
        "no tensor is promoted for its super weights: each that has some is more than {:g} % of the model",
        100 * settings_.promotion.weights);
  }
  return "";
}

void Protection::add_rules(QuantPolicy& policy) const {
  const auto tensors = model_.weights->tensors();
  const auto facts = model::facts_of(model_.metadata, tensors);
  const auto rules = rules_for(policy.rules, facts.experts > 0 ? ModelKind::moe : ModelKind::dense);
  for (const auto i : to_promote_) {
    const auto type = usable_type(settings_.promotion.type, tensors[i], true);
    if (!type) continue;
    const auto limits = limits_of(rules, tensors[i].name, facts.layer_count);
    const bool has_as_many =
        limits.type && info(*limits.type).bits_per_weight() >= info(*type).bits_per_weight();
    if (limits.keep || has_as_many) continue;
    TensorRule rule;
    rule.selector.tensors = {tensors[i].name};
    rule.type = *type;
    rule.place = {.file = "--protect-super-weights", .line = 0, .built_in = true};
    policy.rules.push_back(std::move(rule));
  }
}

std::uint64_t Protection::sidecar_bytes() const { return sidecar_file_bytes(sidecar_); }

std::string Protection::metadata_text() const {
  if (!shortfall().empty()) return "";
  std::map<std::string, std::uint64_t> by_tensor;
  for (const auto& place : places_) ++by_tensor[model_.weights->tensors()[place.tensor].name];
  nlohmann::json text = {
      {"method", name_of(settings_.method)}, {"found", places_.size()}, {"tensors", by_tensor}};
  if (settings_.method == ProtectionMethod::sidecar)
    text["sidecar"] = sidecar_path(output_).filename().string();
  return text.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string Protection::fingerprint_text() const {
  std::string places;
  for (const auto& place : places_) {
    places += fmt::format("{} {} {}{}\n", place.tensor, place.row, place.column,
                          is_restored(place) ? " restored" : "");
  }
  return fmt::format("protection={} {}\n", name_of(settings_.method),
                     hash_bytes(std::as_bytes(std::span(places))).text());
}

void Protection::change_plan(QuantPlan& plan) {
  promoted_ = stages::promote(to_promote_, settings_.promotion.type, plan);
  std::erase_if(sidecar_.tensors, [&](const SidecarTensor& tensor) {
    return plan.tensors[*model_.weights->find(tensor.name)].is_copied();
  });
}

bool Protection::is_restored(const Place& place) const {
  return find_weight(sidecar_, model_.weights->tensors()[place.tensor].name, place.row, place.column) !=
         nullptr;
}

PlanProtection Protection::blocks_of(const QuantPlan& plan, const std::vector<bool>& otherwise) const {
  PlanProtection blocks(plan.tensors.size());
  for (const auto& place : places_) {
    const auto& tensor = plan.tensors[place.tensor];
    const bool restored = is_restored(place);
    if (tensor.is_copied() || otherwise[place.tensor]) continue;
    if (restored || settings_.method == ProtectionMethod::block)
      blocks[place.tensor].push_back({place.row, place.column, restored});
  }
  return blocks;
}

SuperWeightCoverage Protection::coverage_of(const QuantPlan& plan, const PlanProtection& blocks) const {
  SuperWeightCoverage coverage{.method = settings_.method, .search = list_, .found = places_.size()};
  coverage.search.weights.clear();
  if (settings_.list) coverage.list = *settings_.list;
  for (const auto i : promoted_) coverage.promoted_tensors.push_back(plan.tensors[i].source.name);
  for (const auto& place : places_) {
    const auto in_block = ProtectedWeight{place.row, place.column, false}.key();
    if (plan.tensors[place.tensor].is_copied()) {
      ++coverage.unquantized;
    } else if (is_restored(place)) {
      ++coverage.restored;
    } else if (std::ranges::binary_search(promoted_, place.tensor)) {
      ++coverage.promoted;
    } else if (std::ranges::binary_search(blocks[place.tensor], in_block, {}, &ProtectedWeight::key)) {
      ++coverage.in_blocks;
    }
  }
  if (!sidecar_.tensors.empty()) coverage.sidecar = sidecar_path(output_);
  coverage.sidecar_bytes = sidecar_bytes();
  return coverage;
}

void Protection::finish(const std::vector<std::filesystem::path>& files, int threads,
                        SuperWeightCoverage& coverage, ProgressObserver& progress, const StopFlag& stop) {
  const auto output = model::open_model(files.front());
  codecs::RowReader rows(*output.weights);
  double error = 0, energy = 0;
  for (const auto& place : places_) {
    stop.check();
    const auto& name = model_.weights->tensors()[place.tensor].name;
    const float stored = rows.row(*output.weights->find(name), place.row)[place.column];
    auto* restored = find_weight(sidecar_, name, place.row, place.column);
    if (restored != nullptr) restored->difference = place.value - stored;
    const double difference = restored != nullptr ? 0.0 : double{place.value} - double{stored};
    error += difference * difference;
    energy += double{place.value} * double{place.value};
  }
  coverage.relative_error = energy > 0 ? error / energy : 0;
  if (sidecar_.tensors.empty()) return;
  FileHashes hashes({default_cache_folder(), threads}, progress, stop);
  sidecar_.base_hash = hash_of_model(files.front(), hashes);
  write_sidecar(sidecar_, coverage.sidecar);
}

}  // namespace tessera::pipeline
