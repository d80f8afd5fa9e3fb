// The files of a Hugging Face folder that are not weights: carried over from a folder, or made of GGUF
// metadata.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "foundation/base/progress.h"
#include "foundation/formats/json/json_object.h"
#include "foundation/tensor/weight_source.h"
#include "model/source/open_model.h"

namespace tessera::pipeline {

class FolderFiles {
 public:
  /// `config` is what config.json holds, made of or read from what errors call `source`. Of one that was
  /// read, `text` is the file as it stands: it is kept as long as nothing changes.
  FolderFiles(json::Value config, std::string source, std::string text = {});

  /// Copies a file under its own name; its content is read when it is written.
  void carry(std::filesystem::path file) { carried_.push_back(std::move(file)); }
  /// Makes a file.
  void make(const std::string& name, std::string content) { made_[name] = std::move(content); }
  /// The same for JSON. Throws BadFileError when the metadata hold text that is no UTF-8.
  void make_json(const std::string& name, const json::Value& value);

  json::JsonObject config_object() const;
  /// Says in config.json which type the weights have: always when `asked_for`, otherwise where it says
  /// nothing yet.
  void set_type(ElementType type, bool asked_for);
  /// Puts `quantization` into config.json. When it is null an earlier one is taken out, unless the weights
  /// still `has_integers`.
  void set_quantization(const json::Value& quantization, bool has_integers);

  /// Writes all files into the existing folder `folder`. Throws IoError.
  void write(const std::filesystem::path& folder);

 private:
  json::Value config_;
  std::string source_;
  std::string text_;
  std::vector<std::filesystem::path> carried_;
  std::map<std::string, std::string> made_;
};

/// The files for a model that was opened from `input`. Warns of what is left out. Throws BadFileError.
FolderFiles folder_files(const WeightSource& weights, const model::OpenedModel& model,
                         const std::filesystem::path& input, ProgressObserver& progress);

}  // namespace tessera::pipeline
