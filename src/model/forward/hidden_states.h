// The residual stream of all calibration windows between two layers: [windows, context, embedding], or
// another activation of theirs that a pass must keep.
//
// The largest thing a layer-by-layer pass keeps. Beyond a given number of bytes it lives in a scratch file
// that has no name and disappears with the program, whose pages the system writes out and drops as it needs
// memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "foundation/kernels/matrix.h"

namespace tessera::model {

struct HiddenStatesSettings {
  kernels::Precision precision = kernels::Precision::f32;  ///< of the stored elements
  /// More bytes than this go to a scratch file.
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;
  /// Folder of the scratch file; empty: the system's folder for temporary files.
  std::filesystem::path scratch_folder = {};
};

class HiddenStates {
 public:
  /// Throws IoError when a scratch file is needed and cannot be made, std::bad_alloc.
  HiddenStates(std::size_t windows, std::size_t context, std::size_t embedding,
               const HiddenStatesSettings& settings);
  ~HiddenStates();
  HiddenStates(HiddenStates&&) noexcept;
  HiddenStates& operator=(HiddenStates&&) noexcept;

  std::size_t windows() const { return windows_; }
  std::size_t context() const { return context_; }
  std::size_t embedding() const { return embedding_; }

  /// Positions [first, first + count) of a window as [count, embedding] float32. Different positions may be
  /// used from different threads.
  void load(std::size_t window, std::size_t first, std::span<float> values) const;
  void store(std::size_t window, std::size_t first, std::span<const float> values);
  /// The same positions as they are stored, row after row.
  std::span<const std::byte> rows(std::size_t window, std::size_t first, std::size_t count) const;
  std::span<std::byte> rows(std::size_t window, std::size_t first, std::size_t count);
  /// Says that a window will not be needed soon: its pages may leave memory when it lives in a file.
  void release(std::size_t window) const;

  /// All stored bytes, for checkpoints.
  std::span<const std::byte> bytes() const { return bytes_; }
  std::span<std::byte> bytes() { return bytes_; }

 private:
  class Storage;
  std::size_t offset(std::size_t window, std::size_t position) const;

  std::size_t windows_;
  std::size_t context_;
  std::size_t embedding_;
  kernels::Precision precision_;
  std::unique_ptr<Storage> storage_;
  std::span<std::byte> bytes_;
};

/// Copies all states of `from` to `to`, which is of the same size, window by window, so that no more than one
/// is in memory where they live in files.
void copy_states(const HiddenStates& from, HiddenStates& to);

}  // namespace tessera::model
