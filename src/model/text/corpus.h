// Texts for calibration and evaluation, as windows of tokens.
//
// The protocol is llama-perplexity's and llama-imatrix's, so that figures compare: a file is tokenized as a
// whole (BOS in front where the vocabulary adds one), cut into consecutive windows of `context` tokens, what
// is left at the end dropped, and the first token of each window replaced by BOS where the vocabulary adds
// one.
//
// A file is plain text (a line break at its very end is not part of it, as llama-perplexity has it), or, by
// the ending of its name:
//   .jsonl   a JSON object (a record) in every line; empty lines are passed over
//   .json    an array of records, or one record
// The texts of the records, in order, with an empty line between them, are the text of the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "foundation/base/progress.h"
#include "model/text/tokenizer.h"

namespace tessera::model {

struct CorpusFile {
  std::filesystem::path path;
  double weight = 1;  ///< share of the windows, relative to the other files; finite, above 0
};

enum class WindowSampling {
  consecutive,  ///< the first windows of a file
  random        ///< drawn without replacement from all windows of a file, kept in their order
};

struct CorpusSettings {
  std::vector<CorpusFile> files;
  /// Key of a record that holds its text (a string) or its conversation (an array of objects with "role" and
  /// "content", each a line "role: content"). Empty: "text" where a record has it, else "messages".
  std::string field = {};
  std::uint32_t context = 512;  ///< tokens of a window, at least 2
  std::uint32_t samples =
      512;  ///< windows to take from all files together; 0: every one, whatever the weights
  WindowSampling sampling = WindowSampling::consecutive;
  std::uint64_t seed = 0;      ///< of random sampling; the same seed gives the same windows everywhere
  bool parse_special = false;  ///< control tokens spelled in the texts become those tokens
};

/// Windows of exactly `context` tokens, [windows, context] row-major, the files' windows one after the other.
struct TokenWindows {
  std::uint32_t context = 0;
  std::vector<TokenId> tokens = {};
  std::uint64_t available = 0;             ///< windows that the files hold in all
  std::vector<std::string> datasets = {};  ///< the files' paths as given

  std::size_t windows() const { return context == 0 ? 0 : tokens.size() / context; }
  std::span<const TokenId> window(std::size_t index) const {
    return std::span(tokens).subspan(index * context, context);
  }
};

/// Reads, tokenizes and cuts. Fewer windows than asked for are used as they are, with a warning. Throws
/// UsageError (no files, a bad weight, a context below 2) or BadFileError: a file that cannot be read or is
/// empty, a line or record that is not valid (named by its number), files that do not make a single window.
TokenWindows read_windows(const CorpusSettings& settings, const Tokenizer& tokenizer,
                          ProgressObserver& progress);

}  // namespace tessera::model
