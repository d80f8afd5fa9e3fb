#include "pipeline/kept_hessians.h"

#include <fmt/format.h>

#include "foundation/formats/gguf/gguf_writer.h"

namespace tessera::pipeline {
namespace {

std::string name_of(const HessianPlace& place) {
  const auto& reader = place.readers.front();
  if (place.is_shared) return fmt::format("{}.experts.hessian.gguf", reader);
  if (place.experts.empty()) return fmt::format("{}.hessian.gguf", reader);
  return fmt::format("{}.expert-{}.hessian.gguf", reader, place.experts.front());
}

}  // namespace

void keep_hessian(const std::filesystem::path& folder, const HessianPlace& place,
                  const InputMoments& moments) {
  std::filesystem::create_directories(folder);
  const std::uint64_t n = moments.columns;
  gguf::Metadata metadata;
  metadata.set("general.type", std::string("hessian"));
  metadata.set("tessera.hessian.tensors", place.readers);
  metadata.set("tessera.hessian.tokens", moments.tokens);
  if (!place.experts.empty()) metadata.set("tessera.hessian.experts", place.experts);
  std::vector<TensorDescriptor> tensors{{"hessian", ElementType::F32, {n, n}}};
  std::vector<std::span<const float>> values{moments.second};
  const auto add = [&](const char* name, const std::vector<float>& matrix) {
    if (matrix.empty()) return;
    tensors.push_back({name, ElementType::F32, {n, n}});
    values.emplace_back(matrix);
  };
  add("drift", moments.drift);
  add("drift_hessian", moments.paired_second);
  const auto sink = gguf::create_gguf(folder / name_of(place), metadata, tensors);
  for (std::size_t i = 0; i < values.size(); ++i) sink->write_rows(i, 0, std::as_bytes(values[i]));
  sink->commit();
}

}  // namespace tessera::pipeline
