// What an interrupted run has finished, so that the next one goes on from there and ends with the same bytes.
//
// The journal is a text file beside the output, `<output>.journal`, of JSON lines: first the fingerprint of
// the run (everything that decides the output's bytes), then one line per finished tensor with its error
// figures. It is written anew, atomically, after the rows it vouches for were made durable; so a run may be
// killed at any moment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/encoding_error.h"

namespace tessera::pipeline {

/// Errors of finished tensors, by index in the plan; empty: not finished.
using FinishedTensors = std::vector<std::optional<EncodingError>>;

std::filesystem::path journal_path(const std::filesystem::path& output);

/// What the journal at `path` vouches for. Empty when there is none, it belongs to another run, or it is
/// damaged: then the run starts from the beginning.
std::optional<FinishedTensors> read_journal(const std::filesystem::path& path, std::uint64_t fingerprint,
                                            std::size_t tensor_count);

/// Throws IoError.
void write_journal(const std::filesystem::path& path, std::uint64_t fingerprint,
                   const FinishedTensors& finished);

/// Removes it, if it is there.
void remove_journal(const std::filesystem::path& path);

}  // namespace tessera::pipeline
