// A model and texts to walk it with: for importance, and for sensitivities.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "foundation/base/progress.h"
#include "foundation/codecs/encoder.h"
#include "foundation/kernels/matrix.h"
#include "model/forward/forward_pass.h"
#include "model/source/open_model.h"
#include "model/text/corpus.h"

namespace tessera::pipeline {

struct TextWalkSettings {
  model::CorpusSettings corpus = {};  ///< no files: there are no texts
  /// Windows of the texts that sensitivities are taken from; as many as there are when fewer. From 16 on more
  /// of them changed nothing on the models measured (docs/dynamic.md).
  std::uint32_t sensitivity_samples = 32;
  std::uint32_t measured_samples = 8;    ///< the same for the method measured
  std::uint32_t feedback_samples = 128;  ///< the same for error feedback
  std::uint64_t seed = 0;                ///< of sampled labels and rows
  /// Of the operands of matrix products; empty: the fastest of this machine.
  std::optional<kernels::Precision> precision = std::nullopt;
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;  ///< hidden states beyond this go to a scratch file
  std::filesystem::path scratch_folder = {};
  /// Folder in which finished layers of the walks are kept, each walk's in a folder of its own; empty: none.
  std::optional<std::filesystem::path> checkpoint = std::nullopt;
  bool use_cache = true;
};

/// The model that is walked, and how.
struct TextWalkJob {
  const std::filesystem::path& path;  ///< of the model, as given
  const model::OpenedModel& model;
  const model::OpenSettings& open;
  const TextWalkSettings& settings;
  codecs::EncoderKind encoder = codecs::EncoderKind::tessera;  ///< of sampled rows
  int threads = 0;

  bool has_texts() const { return !settings.corpus.files.empty(); }
};

/// The texts' first `samples` windows, or all when they were to be fewer.
model::CorpusSettings first_windows(const TextWalkJob& job, std::uint32_t samples);

model::ForwardSettings forward_settings(const TextWalkJob& job);

/// Throws as model::read_windows.
model::TokenWindows windows_of(const TextWalkJob& job, const model::CorpusSettings& corpus,
                               ProgressObserver& progress);

}  // namespace tessera::pipeline
