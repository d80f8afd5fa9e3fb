#include "stages/merge_importance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"

namespace tessera::stages {
namespace {

using imatrix::Entry;
using imatrix::ImatrixFile;

/// float32, in which the GGUF form counts tokens, is far from its limits below this.
constexpr std::uint64_t kMaxTokens = std::uint64_t{1} << 62;

/// The entry of one tensor in each input that has it.
struct Part {
  const ImportanceInput* input;
  const Entry* entry;
};

[[noreturn]] void refuse(const ImportanceInput& input, const std::string& name, const std::string& message) {
  throw BadFileError({.file = input.file, .tensor = printable(name)}, message);
}

void check_forms_and_methods(std::span<const ImportanceInput> inputs) {
  const auto& first = inputs.front();
  for (const auto& input : inputs.subspan(1)) {
    if (input.matrix.method != first.matrix.method) {
      throw BadFileError({.file = input.file},
                         fmt::format("its method is {}, that of {} is {}; merge importance matrices of one "
                                     "method only",
                                     name_of(input.matrix.method), first.file, name_of(first.matrix.method)));
    }
    if ((input.matrix.chunk_size == 0) != (first.matrix.chunk_size == 0)) {
      const auto& old = input.matrix.chunk_size == 0 ? input : first;
      throw UsageError(
          fmt::format("{}: the old form (.dat) does not say how many tokens its sums stand for, so "
                      "it cannot be merged with the GGUF form; make it again as GGUF",
                      old.file));
    }
  }
}

void warn_of_other_models(std::span<const ImportanceInput> inputs, ProgressObserver& progress) {
  const auto& first = inputs.front();
  for (const auto& input : inputs.subspan(1)) {
    const auto& hash = input.matrix.provenance.model_hash;
    const auto& expected = first.matrix.provenance.model_hash;
    if (hash.empty() || expected.empty() || hash == expected) continue;
    progress.warn(
        fmt::format("{} and {} were made from different model files; that is right only for "
                    "copies of one model in different formats",
                    first.file, input.file));
  }
}

void check_shapes(const std::string& name, std::span<const Part> parts) {
  const Entry& first = *parts.front().entry;
  for (const auto& part : parts.subspan(1)) {
    if (part.entry->columns == first.columns && part.entry->experts() == first.experts()) continue;
    refuse(*part.input, name,
           fmt::format("the entry has {} x {} values, that of {} {} x {}; merge importance matrices of one "
                       "model",
                       part.entry->experts(), part.entry->columns, parts.front().input->file, first.experts(),
                       first.columns));
  }
}

/// Sum over the inputs of a statistic with one value per column; in double, so that many files lose nothing.
std::vector<float> summed(const std::string& name, std::span<const Part> parts,
                          std::vector<float> Entry::*statistic) {
  std::vector<float> sums;
  for (std::size_t i = 0; i < (parts.front().entry->*statistic).size(); ++i) {
    double sum = 0;
    for (const auto& part : parts) sum += (part.entry->*statistic)[i];
    const auto value = static_cast<float>(sum);
    if (!std::isfinite(value)) refuse(*parts.back().input, name, "the sums of the files overflow");
    sums.push_back(value);
  }
  return sums;
}

std::vector<float> maximum_of(std::span<const Part> parts) {
  std::vector<float> maxima = parts.front().entry->maxima;
  for (const auto& part : parts.subspan(1)) {
    for (std::size_t i = 0; i < maxima.size(); ++i) maxima[i] = std::max(maxima[i], part.entry->maxima[i]);
  }
  return maxima;
}

std::vector<std::uint64_t> added_counts(const std::string& name, std::span<const Part> parts) {
  std::vector<std::uint64_t> counts = parts.front().entry->counts;
  for (const auto& part : parts.subspan(1)) {
    for (std::size_t expert = 0; expert < counts.size(); ++expert) {
      counts[expert] += part.entry->counts[expert];
      if (counts[expert] > kMaxTokens) refuse(*part.input, name, "the counts of the files overflow");
    }
  }
  return counts;
}

/// A mean over tokens is weighted by them.
float mean_sensitivity(std::span<const Part> parts) {
  double sum = 0, tokens = 0;
  for (const auto& part : parts) {
    double count = 0;
    for (const auto expert : part.entry->counts) count += static_cast<double>(expert);
    sum += count * *part.entry->sensitivity;
    tokens += count;
  }
  return tokens > 0 ? static_cast<float>(sum / tokens) : 0.0f;
}

/// Joins tensor by tensor and remembers which statistics could not be joined everywhere.
class Merger {
 public:
  Entry merge(const std::string& name, std::span<const Part> parts) {
    check_shapes(name, parts);
    Entry merged{parts.front().entry->columns, summed(name, parts, &Entry::sums), added_counts(name, parts)};
    if (have(parts, "maxima", [](const Part& part) { return !part.entry->maxima.empty(); }))
      merged.maxima = maximum_of(parts);
    if (have(parts, "signed sums", [](const Part& part) { return !part.entry->signed_sums.empty(); }))
      merged.signed_sums = summed(name, parts, &Entry::signed_sums);
    if (have(parts, "sensitivities", [](const Part& part) { return part.entry->sensitivity.has_value(); }))
      merged.sensitivity = mean_sensitivity(parts);
    return merged;
  }

  std::optional<TensorDescriptor> merge_fisher(const std::string& name, std::span<const Part> parts) {
    const auto diagonal_of = [&](const Part& part) { return part.input->matrix.fisher.find(name); };
    const auto has_diagonal = [&](const Part& part) {
      return diagonal_of(part) != part.input->matrix.fisher.end();
    };
    if (!have(parts, "Fisher diagonals", has_diagonal)) return std::nullopt;
    const auto& first = diagonal_of(parts.front())->second;
    for (const auto& part : parts.subspan(1)) {
      if (diagonal_of(part)->second.shape != first.shape)
        refuse(*part.input, name, "its Fisher diagonal has another shape than that of the first file");
    }
    return first;
  }

  void warn_of_lost(ProgressObserver& progress) const {
    for (const auto& what : lost_) {
      progress.warn(fmt::format("{} are left out where not every file that knows the tensor has them", what));
    }
  }

 private:
  template <class Has>
  bool have(std::span<const Part> parts, std::string_view what, const Has& has) {
    const auto count = std::ranges::count_if(parts, has);
    if (count > 0 && count < std::ssize(parts)) lost_.insert(what);
    return count == std::ssize(parts);
  }

  std::set<std::string_view> lost_;
};

std::vector<Part> parts_of(const std::string& name, std::span<const ImportanceInput> inputs) {
  std::vector<Part> parts;
  for (const auto& input : inputs) {
    const auto found = input.matrix.entries.find(name);
    if (found != input.matrix.entries.end()) parts.push_back({&input, &found->second});
  }
  return parts;
}

void merge_entries(std::span<const ImportanceInput> inputs, ImatrixFile& merged, ProgressObserver& progress) {
  std::set<std::string> names;
  for (const auto& input : inputs) {
    for (const auto& [name, entry] : input.matrix.entries) names.insert(name);
  }
  Merger merger;
  std::vector<std::string> partial;
  for (const auto& name : names) {
    const auto parts = parts_of(name, inputs);
    if (parts.size() < inputs.size()) partial.push_back(name);
    merged.entries.emplace(name, merger.merge(name, parts));
    if (auto diagonal = merger.merge_fisher(name, parts)) merged.fisher.emplace(name, std::move(*diagonal));
  }
  if (!partial.empty()) {
    progress.warn(fmt::format("{} of {} tensors are in some of the files only (first: {})", partial.size(),
                              names.size(), printable(partial.front())));
  }
  merger.warn_of_lost(progress);
}

/// Chunks of the first input's size that hold the tokens of all.
std::uint32_t merged_chunk_count(std::span<const ImportanceInput> inputs) {
  const std::uint64_t size = std::max<std::uint64_t>(inputs.front().matrix.chunk_size, 1);
  std::uint64_t tokens = 0;
  for (const auto& input : inputs)
    tokens += std::uint64_t{input.matrix.chunk_count} * std::max<std::uint64_t>(input.matrix.chunk_size, 1);
  const std::uint64_t chunks = (tokens + size - 1) / size;
  if (chunks > std::numeric_limits<std::uint32_t>::max())
    throw BadFileError({.file = inputs.back().file},
                       "the files have more chunks together than the form can say");
  return static_cast<std::uint32_t>(chunks);
}

/// What all inputs agree on; the data are no longer those of any one input.
imatrix::Provenance common_provenance(std::span<const ImportanceInput> inputs) {
  imatrix::Provenance common = inputs.front().matrix.provenance;
  common.data_hash.clear();
  for (const auto& input : inputs.subspan(1)) {
    const auto& other = input.matrix.provenance;
    if (other.model_hash != common.model_hash) common.model_hash.clear();
    if (other.options != common.options) common.options.clear();
    if (other.version != common.version) common.version.clear();
  }
  return common;
}

}  // namespace

ImatrixFile merge_importance(std::span<const ImportanceInput> inputs, ProgressObserver& progress) {
  check_forms_and_methods(inputs);
  warn_of_other_models(inputs, progress);
  ImatrixFile merged;
  merged.method = inputs.front().matrix.method;
  merged.chunk_size = inputs.front().matrix.chunk_size;
  merged.chunk_count = merged_chunk_count(inputs);
  merged.provenance = common_provenance(inputs);
  for (const auto& input : inputs) {
    for (const auto& dataset : input.matrix.datasets) {
      if (std::ranges::find(merged.datasets, dataset) == merged.datasets.end())
        merged.datasets.push_back(dataset);
    }
  }
  merge_entries(inputs, merged, progress);
  return merged;
}

}  // namespace tessera::stages
