// The options of every command that reads texts: which files, cut into which windows.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "model/text/corpus.h"

namespace tessera::cli {

struct CorpusOptions {
  std::vector<std::string> files;  ///< FILE or FILE=WEIGHT
  std::string sampling = "consecutive";
  model::CorpusSettings settings;
};

/// Declares -f, --ctx, --samples, --sampling, --seed, --field and --parse-special.
void add_corpus_options(CLI::App& command, CorpusOptions& options);

/// The settings that the options say. Throws UsageError.
model::CorpusSettings corpus_settings(const CorpusOptions& options);

}  // namespace tessera::cli
