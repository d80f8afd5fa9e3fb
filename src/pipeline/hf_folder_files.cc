#include "pipeline/hf_folder_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <span>
#include <string_view>
#include <system_error>

#include "foundation/base/atomic_file.h"
#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "model/architecture/hf_config.h"
#include "model/source/general_metadata.h"
#include "model/text/hf_tokenizer.h"
#include "model/text/special_tokens.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";
constexpr const char* kQuantization = "quantization_config";
/// The key of old and of new versions of transformers; all read the old one.
constexpr std::array kTypeKeys = {"torch_dtype", "dtype"};

/// How names end of weights, in any form, of their indices and of unfinished downloads.
constexpr std::array<std::string_view, 11> kWeightEndings = {
    ".safetensors", ".index.json", ".bin", ".pt",   ".pth",    ".ckpt",
    ".msgpack",     ".onnx",       ".h5",  ".gguf", ".partial"};

std::string_view torch_name(ElementType type) {
  assert(type == ElementType::F32 || type == ElementType::F16 || type == ElementType::BF16);
  return type == ElementType::F32 ? "float32" : type == ElementType::F16 ? "float16" : "bfloat16";
}

bool is_carried(const std::string& name) {
  return !name.starts_with('.') && name != kConfig &&
         std::ranges::none_of(kWeightEndings, [&](std::string_view end) { return name.ends_with(end); });
}

FolderFiles files_of_folder(const fs::path& input, ProgressObserver& progress) {
  const std::string text = json::read_text_file(input / kConfig);
  const json::JsonObject config(text, (input / kConfig).string());
  FolderFiles files(json::Value::parse(text), config.file(), text);
  std::vector<fs::path> carried;
  for (const auto& entry : fs::directory_iterator(input)) {
    const std::string name = entry.path().filename().string();
    std::error_code unreadable;
    if (entry.is_directory(unreadable)) {
      if (!name.starts_with('.')) {
        progress.warn(
            fmt::format("the folder {} inside {} is not carried over", printable(name), input.string()));
      }
    } else if (is_carried(name)) {
      carried.push_back(entry.path());
    }
  }
  std::ranges::sort(carried);
  for (fs::path& file : carried) files.carry(std::move(file));
  return files;
}

json::Value generation_config(const gguf::Metadata& metadata) {
  json::Value generation = model::sampling_of(metadata);
  if (!generation.empty()) generation["do_sample"] = true;
  generation.update(model::special_token_ids(metadata));
  const auto end_of_turn = metadata.unsigned_integer("tokenizer.ggml.eot_token_id");
  const auto end = metadata.unsigned_integer("tokenizer.ggml.eos_token_id");
  if (end && end_of_turn && *end != *end_of_turn)
    generation["eos_token_id"] = json::Value::array({*end, *end_of_turn});
  return generation;
}

FolderFiles files_of_metadata(const WeightSource& weights, const gguf::Metadata& metadata) {
  json::Value config = model::config_of_metadata(metadata, weights);
  config.update(model::special_token_ids(metadata));
  const auto* tokens = metadata.texts("tokenizer.ggml.tokens");
  if (tokens != nullptr && tokens->size() > config["vocab_size"].get<std::uint64_t>()) {
    throw BadFileError(
        {.file = weights.name(), .tensor = "token_embd.weight"},
        fmt::format("has {} rows for {} tokens", config["vocab_size"].get<std::uint64_t>(), tokens->size()));
  }
  FolderFiles files(std::move(config), weights.name());
  const auto tokenizer = model::hf_tokenizer_files(metadata, weights.name());
  files.make_json("tokenizer.json", tokenizer.tokenizer);
  files.make_json("tokenizer_config.json", tokenizer.tokenizer_config);
  if (!tokenizer.sentencepiece_model.empty()) files.make("tokenizer.model", tokenizer.sentencepiece_model);
  files.make_json("generation_config.json", generation_config(metadata));
  files.make("README.md", model::model_card_of(metadata, weights.name()));
  return files;
}

}  // namespace

FolderFiles::FolderFiles(json::Value config, std::string source, std::string text)
    : config_(std::move(config)), source_(std::move(source)), text_(std::move(text)) {}

void FolderFiles::make_json(const std::string& name, const json::Value& value) {
  try {
    make(name, value.dump(2) + "\n");
  } catch (const json::Value::exception& error) {
    throw BadFileError({.file = source_}, fmt::format("{} cannot be made, a text is not valid UTF-8: {}",
                                                      name, printable(error.what(), 200)));
  }
}

json::JsonObject FolderFiles::config_object() const { return {config_.dump(), source_}; }

void FolderFiles::set_type(ElementType type, bool asked_for) {
  bool said = false;
  for (const char* key : kTypeKeys) {
    if (!config_.contains(key)) continue;
    said = true;
    if (asked_for) config_[key] = torch_name(type);
  }
  if (!said) config_[kTypeKeys.front()] = torch_name(type);
}

void FolderFiles::set_quantization(const json::Value& quantization, bool has_integers) {
  if (!quantization.is_null()) {
    config_[kQuantization] = quantization;
  } else if (!has_integers) {
    config_.erase(kQuantization);
  }
}

void FolderFiles::write(const fs::path& folder) {
  if (!text_.empty() && json::Value::parse(text_) == config_) {
    make(kConfig, text_);
  } else {
    make_json(kConfig, config_);
  }
  for (const auto& [name, content] : made_)
    write_file_atomically(folder / name, std::as_bytes(std::span(content)));
  for (const fs::path& file : carried_) {
    std::error_code failed;
    fs::copy_file(file, folder / file.filename(), failed);
    if (failed) throw IoError(file.string(), "copy", failed.value());
  }
}

FolderFiles folder_files(const WeightSource& weights, const model::OpenedModel& model, const fs::path& input,
                         ProgressObserver& progress) {
  return fs::is_directory(input) ? files_of_folder(input, progress)
                                 : files_of_metadata(weights, model.metadata);
}

}  // namespace tessera::pipeline
