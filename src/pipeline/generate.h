// The run behind `tessera generate`: a prompt in, its continuation out as it comes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/kernels/matrix.h"
#include "model/forward/generator.h"
#include "model/source/open_model.h"

namespace tessera::pipeline {

struct GenerateSettings {
  std::filesystem::path model;  ///< GGUF file or Hugging Face folder
  model::OpenSettings open = {};
  std::string prompt;            ///< may be empty where the model has a token that begins texts
  std::size_t new_tokens = 128;  ///< at most, at least 1
  model::SamplingSettings sampling = {};
  std::optional<kernels::Precision> precision = std::nullopt;          ///< empty: the fastest of this machine
  int threads = 0;                                                     ///< 0: all cores
  std::uint64_t memory_bytes = model::DecoderSettings{}.memory_bytes;  ///< of decoded weights
};

struct GenerateReport {
  std::string prompt;
  std::string text;  ///< the continuation: bytes, not always valid UTF-8
  std::vector<std::int32_t> prompt_tokens;
  model::Generation generation;
};

/// The report for machines.
nlohmann::json to_json(const GenerateReport& report);

/// Takes the next bytes of the continuation.
using TextGenerated = std::function<void(std::string_view text)>;

/// Warns when the model's context ends before `new_tokens` are there. Throws UsageError, BadFileError,
/// InterruptedError.
GenerateReport generate(const GenerateSettings& settings, const TextGenerated& generated,
                        ProgressObserver& progress, const StopFlag& stop);

}  // namespace tessera::pipeline
