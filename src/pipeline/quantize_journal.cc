#include "pipeline/quantize_journal.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <span>

#include "foundation/base/atomic_file.h"

namespace tessera::pipeline {
namespace {

using nlohmann::json;

json line_of(std::size_t tensor, const EncodingError& error) {
  return {{"tensor", tensor},
          {"has_importance", error.has_importance},
          {"error", error.sums.error},
          {"energy", error.sums.energy},
          {"weighted_error", error.sums.weighted_error},
          {"weighted_energy", error.sums.weighted_energy}};
}

EncodingError error_of(const json& line) {
  return {{line.at("error"), line.at("energy"), line.at("weighted_error"), line.at("weighted_energy")},
          line.at("has_importance")};
}

FinishedTensors parse(std::istream& lines, std::size_t tensor_count) {
  FinishedTensors finished(tensor_count);
  for (std::string line; std::getline(lines, line);) {
    const json entry = json::parse(line);
    finished.at(entry.at("tensor").get<std::size_t>()) = error_of(entry);
  }
  return finished;
}

}  // namespace

std::filesystem::path journal_path(const std::filesystem::path& output) {
  auto path = output;
  path += ".journal";
  return path;
}

std::optional<FinishedTensors> read_journal(const std::filesystem::path& path, std::uint64_t fingerprint,
                                            std::size_t tensor_count) {
  std::ifstream file(path);
  std::string first;
  if (!std::getline(file, first)) return std::nullopt;
  try {
    if (json::parse(first).at("fingerprint").get<std::uint64_t>() != fingerprint) return std::nullopt;
    return parse(file, tensor_count);
  } catch (const json::exception&) {
    return std::nullopt;  // not a journal of ours: nothing in it can be relied on
  } catch (const std::out_of_range&) {
    return std::nullopt;
  }
}

void write_journal(const std::filesystem::path& path, std::uint64_t fingerprint,
                   const FinishedTensors& finished) {
  std::string text = json{{"fingerprint", fingerprint}}.dump() + "\n";
  for (std::size_t i = 0; i < finished.size(); ++i) {
    if (finished[i]) text += line_of(i, *finished[i]).dump() + "\n";
  }
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void remove_journal(const std::filesystem::path& path) {
  std::error_code not_there;
  std::filesystem::remove(path, not_there);
}

}  // namespace tessera::pipeline
