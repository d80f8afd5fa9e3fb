#include "pipeline/output_guard.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

#include "foundation/base/error.h"
#include "foundation/formats/gguf/split_name.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;

/// The part count that a name like PREFIX-00001-of-00003.gguf states; 0 when it is none.
std::uint64_t stated_part_count(const fs::path& path) {
  constexpr std::string_view kMiddle = "-00001-of-";
  const std::string name = path.filename().string();
  const auto middle = name.rfind(kMiddle);
  if (middle == std::string::npos) return 0;
  const char* const digits = name.data() + middle + kMiddle.size();
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(digits, name.data() + name.size(), count);
  return error == std::errc() && std::string_view(end) == ".gguf" ? count : 0;
}

bool is_same_file(const fs::path& left, const fs::path& right) {
  std::error_code not_there;
  return fs::equivalent(left, right, not_there) && !not_there;
}

/// Weights in forms that are never read; they would double the time that hashing a folder takes.
constexpr std::array<std::string_view, 6> kForeignWeights = {".bin",     ".pt",   ".pth",
                                                             ".msgpack", ".onnx", ".h5"};

bool decides_the_model(const fs::path& file) {
  std::error_code unreadable;
  return fs::is_regular_file(file, unreadable) &&
         std::ranges::find(kForeignWeights, file.extension()) == kForeignWeights.end();
}

}  // namespace

std::vector<fs::path> files_of_model(const fs::path& model) {
  std::error_code unreadable;
  std::vector<fs::path> files;
  if (fs::is_directory(model, unreadable)) {
    for (const auto& entry : fs::directory_iterator(model, unreadable)) {
      if (entry.is_directory(unreadable)) continue;
      // GGUF files in a folder, and what an unfinished run leaves beside them, are products and not read.
      if (entry.path().filename().string().find(".gguf") == std::string::npos) files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
  }
  files.push_back(model);
  const auto count = stated_part_count(model);
  const auto prefix = gguf::split_prefix(model, 0, count);
  for (std::uint64_t part = 1; prefix && part < count; ++part) {
    files.push_back(gguf::split_path(*prefix, part, count));
  }
  return files;
}

void refuse_writing_over_inputs(const std::vector<fs::path>& outputs, const std::vector<fs::path>& inputs) {
  for (const auto& output : outputs) {
    fs::path temporary = output;
    temporary += ".partial";
    for (const auto& input : inputs) {
      if (!is_same_file(output, input) && !is_same_file(temporary, input)) continue;
      throw UsageError(fmt::format("{}: the output is an input of the run ({}); choose another output path",
                                   output.string(), input.string()));
    }
  }
}

void require_files(const std::vector<fs::path>& inputs) {
  for (const auto& input : inputs) {
    std::error_code unreadable;
    if (fs::is_regular_file(input, unreadable)) continue;
    throw BadFileError({.file = input.string()}, fs::exists(input, unreadable)
                                                     ? "is no file that can be read more than once"
                                                     : "does not exist; check the path");
  }
}

void require_writable_folder(const fs::path& output) {
  const auto folder = output.has_parent_path() ? output.parent_path() : fs::path(".");
  if (::access(folder.c_str(), W_OK | X_OK) == 0) return;
  throw UsageError(
      fmt::format("{}: cannot write here: {}; choose an output path in an existing, writable folder",
                  output.string(), std::generic_category().message(errno)));
}

std::vector<fs::path> files_that_decide(const std::filesystem::path& model) {
  std::error_code unreadable;
  auto files = files_of_model(model);
  if (!fs::is_directory(model, unreadable)) return files;
  std::erase_if(files, [](const fs::path& file) { return !decides_the_model(file); });
  return files;
}

}  // namespace tessera::pipeline
