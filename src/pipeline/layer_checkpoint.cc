#include "pipeline/layer_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/formats/json/strict_json.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint32_t kFormat = 1;
constexpr std::string_view kManifestName = "tessera-checkpoint.json";
constexpr std::string_view kBlobSuffix = ".tessera-blob";
constexpr std::size_t kMaxNameBytes = 64;
constexpr std::size_t kAll = std::string::npos;
constexpr std::string_view kRemedy = "; remove tessera-checkpoint.json there to start over";

/// Keeps a hostile manifest from naming files outside of the folder.
bool is_blob_name(std::string_view name) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789_-";
  return !name.empty() && name.size() <= kMaxNameBytes &&
         name.find_first_not_of(kLetters) == std::string_view::npos;
}

template <class Number>
Number whole_number(const json& value) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > std::numeric_limits<Number>::max())
    throw std::out_of_range(value.dump() + " is not a whole number in range");
  return value.get<Number>();
}

std::string part_that_differs(const json& manifest, const CheckpointIdentity& identity) {
  const auto text = [&](const char* key) { return manifest.at(key).get<std::string>(); };
  if (text("version") != TESSERA_VERSION)
    return fmt::format("version of Tessera ({} instead of {})", printable(text("version")), TESSERA_VERSION);
  if (text("model") != identity.model) return "model";
  if (text("data") != identity.data) return "data";
  if (text("options") == identity.options) return {};
  return fmt::format("options ('{}' instead of '{}')", printable(text("options"), 1000), identity.options);
}

void make_folder(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (!failed) return;
  throw UsageError(fmt::format("{}: cannot make the checkpoint folder: {}; choose another place",
                               folder.string(), failed.message()));
}

}  // namespace

void BlobWriter::append(std::span<const std::byte> bytes) {
  file_.write_at(bytes_, bytes);
  hasher_.add(bytes);
  bytes_ += bytes.size();
}

void BlobWriter::finish() {
  file_.commit();
  checkpoint_.finished_[name_] = {checkpoint_.manifest_.generation + 1, bytes_, hasher_.hash().text()};
}

LayerCheckpoint::LayerCheckpoint(fs::path folder, const CheckpointIdentity& identity)
    : folder_(std::move(folder)),
      // The manifest is JSON, which has no place for other bytes; paths in the options may have some.
      identity_{printable(identity.model, kAll), printable(identity.data, kAll),
                printable(identity.options, kAll)} {
  make_folder(folder_);
  lock_.emplace(folder_);
  std::error_code unknown;
  if (fs::exists(manifest_path(), unknown)) manifest_ = read_manifest();
  // Written even when nothing changes: a folder that cannot be written to is found now and not after hours.
  write_manifest(manifest_);
  remove_unnamed_blobs();
}

BlobWriter LayerCheckpoint::write(const std::string& name) {
  assert(is_blob_name(name));
  finished_.erase(name);
  return {*this, name, blob_path(name, manifest_.generation + 1)};
}

MappedFile LayerCheckpoint::open(const std::string& name) const {
  assert(contains(name));
  const Blob& blob = manifest_.blobs.at(name);
  MappedFile file(blob_path(name, blob.generation));
  if (file.bytes().size() != blob.bytes || hash_bytes(file.bytes()).text() != blob.hash) {
    throw BadFileError({.file = file.path()}, fmt::format("this part of a checkpoint is damaged{}", kRemedy));
  }
  return file;
}

std::vector<std::byte> LayerCheckpoint::read(const std::string& name) const {
  const MappedFile file = open(name);
  return {file.bytes().begin(), file.bytes().end()};
}

void LayerCheckpoint::commit(std::uint32_t layers_finished, std::span<const std::string> kept) {
  Manifest next{layers_finished, manifest_.generation + 1, {}};
  for (const auto& name : kept) {
    const auto finished = finished_.find(name);
    assert(finished != finished_.end() || contains(name));
    next.blobs[name] = finished != finished_.end() ? finished->second : manifest_.blobs.at(name);
  }
  write_manifest(next);
  manifest_ = std::move(next);
  finished_.clear();
  remove_unnamed_blobs();
}

void LayerCheckpoint::clear() {
  std::error_code stays;  // it would only be an offer to go on
  fs::remove(manifest_path(), stays);
  manifest_ = {};
  finished_.clear();
  remove_unnamed_blobs();
}

fs::path LayerCheckpoint::manifest_path() const { return folder_ / kManifestName; }

fs::path LayerCheckpoint::blob_path(const std::string& name, std::uint64_t generation) const {
  return folder_ / fmt::format("{}.{}{}", name, generation, kBlobSuffix);
}

LayerCheckpoint::Manifest LayerCheckpoint::read_manifest() const {
  const MappedFile file(manifest_path());
  const auto refuse = [&](const std::string& what) -> void {
    throw BadFileError({.file = file.path()}, fmt::format("the checkpoint is damaged: {}{}", what, kRemedy));
  };
  const json value = parse_json(file.bytes(), file.path());
  Manifest manifest;
  std::string difference;
  try {
    if (value.at("format") != kFormat) refuse("its format is unknown");
    difference = part_that_differs(value, identity_);
    if (!value.at("finished_layers").is_null())
      manifest.finished_layers = whole_number<std::uint32_t>(value.at("finished_layers"));
    manifest.generation = whole_number<std::uint64_t>(value.at("generation"));
    for (const auto& [name, blob] : value.at("blobs").items()) {
      if (!is_blob_name(name)) refuse(fmt::format("'{}' is no name of a blob", printable(name)));
      manifest.blobs[name] = {whole_number<std::uint64_t>(blob.at("generation")),
                              whole_number<std::uint64_t>(blob.at("bytes")), blob.at("hash")};
    }
  } catch (const json::exception& error) {
    refuse(error.what());
  } catch (const std::out_of_range& error) {
    refuse(error.what());
  }
  if (!difference.empty()) {
    throw UsageError(
        fmt::format("{}: the checkpoint is that of a run with another {}; give the run another "
                    "folder, or remove this one",
                    folder_.string(), difference));
  }
  return manifest;
}

void LayerCheckpoint::write_manifest(const Manifest& manifest) const {
  json value = {{"format", kFormat},
                {"version", TESSERA_VERSION},
                {"model", identity_.model},
                {"data", identity_.data},
                {"options", identity_.options},
                {"finished_layers", nullptr},
                {"generation", manifest.generation},
                {"blobs", json::object()}};
  if (manifest.finished_layers) value["finished_layers"] = *manifest.finished_layers;
  for (const auto& [name, blob] : manifest.blobs) {
    value["blobs"][name] = {{"generation", blob.generation}, {"bytes", blob.bytes}, {"hash", blob.hash}};
  }
  const std::string text = value.dump(2) + "\n";
  write_file_atomically(manifest_path(), std::as_bytes(std::span(text)));
}

void LayerCheckpoint::remove_unnamed_blobs() const {
  std::set<fs::path> named;
  for (const auto& [name, blob] : manifest_.blobs) named.insert(blob_path(name, blob.generation));
  const std::string unfinished = AtomicFile::temporary_path(kBlobSuffix).string();
  std::vector<fs::path> unnamed;
  std::error_code stays;  // costs space and nothing else; the next commit tries again
  for (const auto& entry : fs::directory_iterator(folder_, stays)) {
    const std::string name = entry.path().filename().string();
    const bool is_ours = name.ends_with(kBlobSuffix) || name.ends_with(unfinished);
    if (is_ours && !named.contains(entry.path())) unnamed.push_back(entry.path());
  }
  for (const auto& path : unnamed) fs::remove(path, stays);
}

}  // namespace tessera::pipeline
