// What a walk over the layers of a model has finished, kept in a folder so that the same run goes on after
// the last finished layer however it ended, and ends with the same bytes.
//
// The folder holds blobs, opaque bytes under a name (hidden states, statistics), and one manifest:
//
//     NAME.GENERATION.tessera-blob  written and made durable before a manifest speaks of it, never changed
//     after tessera-checkpoint.json       {"format": 1, "version", "model", "data", "options": texts,
//                                    "finished_layers": number or null, "generation": number,
//                                    "blobs": {NAME: {"generation", "bytes": numbers, "hash": XXH3-128}}}
//
// A commit replaces the manifest atomically and then removes the blobs it no longer names. So a process may
// be killed between any two operations: the manifest is that of the last commit, and all its blobs are there.
// What a killed run left beside them is removed when the folder is opened; other files in it are not touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "foundation/base/atomic_file.h"
#include "foundation/base/content_hash.h"
#include "foundation/base/folder_lock.h"
#include "foundation/base/mapped_file.h"

namespace tessera::pipeline {

/// Everything that decides the bytes of the result, beside the version of Tessera, which the checkpoint adds.
struct CheckpointIdentity {
  std::string model;    ///< content hash of the model
  std::string data;     ///< content hash of the texts
  std::string options;  ///< the options, as one line a person can compare

  bool operator==(const CheckpointIdentity&) const = default;
};

class LayerCheckpoint;

/// Writes one blob from front to back. One that is not finished leaves nothing.
class BlobWriter {
 public:
  /// Throws IoError (for example when the disk is full).
  void append(std::span<const std::byte> bytes);
  /// Makes the blob durable; the next commit can keep it. Throws IoError.
  void finish();

 private:
  friend class LayerCheckpoint;
  BlobWriter(LayerCheckpoint& checkpoint, std::string name, const std::filesystem::path& file)
      : checkpoint_(checkpoint), name_(std::move(name)), file_(file) {}

  LayerCheckpoint& checkpoint_;
  std::string name_;
  AtomicFile file_;
  std::uint64_t bytes_ = 0;
  ContentHasher hasher_;
};

/// One thread at a time. Neither copied nor moved: writers refer to it.
class LayerCheckpoint {
 public:
  /// Opens `folder`, made when it is missing, for this run alone. Throws UsageError when it cannot be made or
  /// written to, is in use, or holds the checkpoint of a run with another model, data, options or version
  /// (which of them, the message says); BadFileError when its manifest is damaged.
  LayerCheckpoint(std::filesystem::path folder, const CheckpointIdentity& identity);
  LayerCheckpoint(const LayerCheckpoint&) = delete;
  LayerCheckpoint& operator=(const LayerCheckpoint&) = delete;

  /// Layers of the last commit; empty when nothing has been committed.
  std::optional<std::uint32_t> finished_layers() const { return manifest_.finished_layers; }

  /// Whether the last commit kept a blob of this name.
  bool contains(const std::string& name) const { return manifest_.blobs.contains(name); }

  /// Starts a blob for the next commit; the blob of this name that the last commit kept stays readable until
  /// then. `name`: 1 to 64 lower-case letters, digits, "_" and "-". Throws IoError.
  BlobWriter write(const std::string& name);

  /// A blob that the last commit kept. Throws BadFileError when it is missing or damaged.
  MappedFile open(const std::string& name) const;
  /// The same, copied into memory.
  std::vector<std::byte> read(const std::string& name) const;

  /// From now on `layers_finished` layers are finished, and the state consists of the blobs named in `kept`:
  /// the one finished since the last commit where there is one, else the one kept before. All others are
  /// removed. Throws IoError, and then the last commit still holds.
  void commit(std::uint32_t layers_finished, std::span<const std::string> kept);

  /// Removes every trace but the folder: the run is done.
  void clear();

 private:
  friend class BlobWriter;

  struct Blob {
    std::uint64_t generation = 0;
    std::uint64_t bytes = 0;
    std::string hash;
  };
  struct Manifest {
    std::optional<std::uint32_t> finished_layers;
    std::uint64_t generation = 0;  ///< of the last commit; blobs under way belong to the next
    std::map<std::string, Blob> blobs;
  };

  std::filesystem::path manifest_path() const;
  std::filesystem::path blob_path(const std::string& name, std::uint64_t generation) const;
  Manifest read_manifest() const;
  void write_manifest(const Manifest& manifest) const;
  void remove_unnamed_blobs() const;

  std::filesystem::path folder_;
  CheckpointIdentity identity_;
  std::optional<FolderLock> lock_;
  Manifest manifest_;
  std::map<std::string, Blob> finished_;  ///< since the last commit
};

}  // namespace tessera::pipeline
