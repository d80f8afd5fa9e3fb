// The text of a corpus file: plain text as it is, JSON and JSONL by the text of their records (corpus.h).
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace tessera::model {

/// Throws BadFileError, naming the line (JSONL) or the record (JSON), counted from 1.
std::string read_corpus_text(const std::filesystem::path& path, const std::string& field);

/// The same of bytes that are in memory, for files called `name`.
std::string corpus_text_of_jsonl(std::span<const std::byte> bytes, const std::string& name,
                                 const std::string& field);
std::string corpus_text_of_json(std::span<const std::byte> bytes, const std::string& name,
                                const std::string& field);

}  // namespace tessera::model
