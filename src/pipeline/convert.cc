#include "pipeline/convert.h"

#include <fmt/format.h>

#include "foundation/base/error.h"
#include "pipeline/plain_gguf.h"

namespace tessera::pipeline {
namespace {

ConvertReport convert_to_gguf(const ConvertSettings& settings, ProgressObserver& progress,
                              const StopFlag& stop) {
  if (std::filesystem::is_regular_file(settings.model)) {
    throw UsageError(
        fmt::format("{} is a file; of a file, convert makes a folder (quantize makes GGUF files of "
                    "GGUF files): give an output name that does not end in .gguf",
                    settings.model.string()));
  }
  const auto model = model::open_model(settings.model, settings.open);
  const auto type = settings.type.value_or(model::plain_type_of(*model.weights));
  const auto written = write_plain_gguf(*model.weights, model.metadata,
                                        {.input = settings.model,
                                         .output = settings.output,
                                         .type = type,
                                         .write = settings.write,
                                         .encode = settings.encode},
                                        progress, stop);
  return {.architecture = model.metadata.text("general.architecture").value_or(""),
          .type = type,
          .plan = written.plan,
          .files = written.files};
}

ConvertReport convert_to_folder(const ConvertSettings& settings, ProgressObserver& progress,
                                const StopFlag& stop) {
  const auto model = model::open_model(settings.model, settings.open);
  const auto folder = write_hf_folder(*model.weights, model,
                                      {.input = settings.model,
                                       .output = settings.output,
                                       .type = settings.type,
                                       .shard_max_bytes = settings.shard_max_bytes,
                                       .encode = settings.encode},
                                      progress, stop);
  return {.architecture = model.metadata.text("general.architecture").value_or(""),
          .type = folder.type,
          .plan = folder.plan,
          .files = folder.files};
}

}  // namespace

ConvertReport convert(const ConvertSettings& settings, ProgressObserver& progress, const StopFlag& stop) {
  return is_gguf_name(settings.output) ? convert_to_gguf(settings, progress, stop)
                                       : convert_to_folder(settings, progress, stop);
}

}  // namespace tessera::pipeline
