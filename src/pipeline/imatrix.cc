#include "pipeline/imatrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "foundation/kernels/gemm.h"
#include "pipeline/output_guard.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;

std::string hash_of_data(const model::CorpusSettings& corpus, FileHashes& hashes) {
  std::vector<fs::path> files;
  for (const auto& file : corpus.files) files.push_back(file.path);
  ContentHasher hasher;
  for (const auto& hash : hashes.of(files, "hash data")) hasher.add_field(hash.text());
  return hasher.hash().text();
}

std::string options_of(const ImatrixSettings& settings) {
  const auto& corpus = settings.corpus;
  const auto precision = kernels::resolve_precision(settings.precision);
  std::string text = fmt::format(
      "method={} precision={} ctx={} samples={} sampling={} seed={} parse-special={} process-output={} "
      "per-weight-fisher={}",
      name_of(settings.method), precision == kernels::Precision::f32 ? "f32" : "bf16", corpus.context,
      corpus.samples, corpus.sampling == model::WindowSampling::random ? "random" : "consecutive",
      corpus.seed, corpus.parse_special, settings.process_output, settings.per_weight_fisher);
  if (!corpus.field.empty()) text += fmt::format(" field={}", corpus.field);
  if (!settings.open.pre_tokenizer.empty()) text += fmt::format(" pre={}", settings.open.pre_tokenizer);
  // The paths: they go into the file, and their endings say how a text is read.
  for (const auto& file : corpus.files) text += fmt::format(" file={}={}", file.path.string(), file.weight);
  return text;
}

bool has_extras(const imatrix::Entry& entry) {
  return !entry.maxima.empty() || !entry.signed_sums.empty() || entry.sensitivity.has_value();
}

}  // namespace

std::string hash_of_model(const fs::path& model, FileHashes& hashes) {
  std::error_code unreadable;
  const bool is_folder = fs::is_directory(model, unreadable);
  const auto files = files_that_decide(model);
  const auto contents = hashes.of(files, "hash model");
  ContentHasher hasher;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (is_folder) hasher.add_field(files[i].filename().string());
    hasher.add_field(contents[i].text());
  }
  return hasher.hash().text();
}

CheckpointIdentity identity_of(const ImatrixSettings& settings, FileHashes& hashes) {
  return {hash_of_model(settings.model, hashes), hash_of_data(settings.corpus, hashes), options_of(settings)};
}

ContentHash result_key(const CheckpointIdentity& identity) {
  ContentHasher hasher;
  for (const std::string_view field :
       {std::string_view("imatrix"), std::string_view(TESSERA_VERSION), std::string_view(identity.model),
        std::string_view(identity.data), std::string_view(identity.options)}) {
    hasher.add_field(field);
  }
  return hasher.hash();
}

imatrix::Provenance provenance_of(const CheckpointIdentity& identity) {
  return {TESSERA_VERSION, identity.model, identity.data, identity.options};
}

bool is_legacy_output(const fs::path& output) { return output.extension() == ".dat"; }

void write_importance(const fs::path& output, const imatrix::ImatrixFile& matrix,
                      std::span<const fs::path> inputs, ProgressObserver& progress) {
  refuse_writing_over_inputs({output}, {inputs.begin(), inputs.end()});
  if (!is_legacy_output(output)) return write_imatrix_gguf(output, matrix);
  const bool loses =
      std::ranges::any_of(matrix.entries, [](const auto& item) { return has_extras(item.second); });
  if (loses || matrix.method != ImportanceMethod::activation) {
    progress.note(
        fmt::format("{}: the old form keeps the mean importance only; maxima, sensitivities and the "
                    "method are left out",
                    output.string()));
  }
  write_imatrix_legacy(output, matrix);
}

}  // namespace tessera::pipeline
