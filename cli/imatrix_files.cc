#include "imatrix_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "command.h"
#include "foundation/base/printable.h"
#include "pipeline/importance_files.h"
#include "progress_display.h"

namespace tessera::cli {
namespace {

constexpr std::size_t kDefaultTopColumns = 3;

/// Names of tensors come from the file and may be no valid UTF-8.
void print_json(const nlohmann::json& json) {
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

template <class Tensor>
std::size_t name_width(const std::vector<Tensor>& tensors) {
  std::size_t width = 6;
  for (const auto& tensor : tensors) width = std::max(width, printable(tensor.name).size());
  return width;
}

/// "17" in a dense tensor, "2:17" for a column of expert 2.
std::string column_name(const TensorImportanceSummary& tensor, const ColumnValue& column) {
  if (tensor.experts == 1) return fmt::format("{}", column.column);
  return fmt::format("{}:{}", column.expert, column.column);
}

std::string top_columns(const TensorImportanceSummary& tensor) {
  std::vector<std::string> columns;
  for (const auto& column : tensor.top)
    columns.push_back(fmt::format("{} ({:.3g})", column_name(tensor, column), column.value));
  return fmt::format("{}", fmt::join(columns, ", "));
}

std::string counts_of(const TensorImportanceSummary& tensor) {
  if (tensor.least_count == tensor.most_count) return fmt::format("{}", tensor.most_count);
  return fmt::format("{}-{}", tensor.least_count, tensor.most_count);
}

template <class Value>
std::string or_dash(const std::optional<Value>& value, const char* form) {
  return value ? fmt::format(fmt::runtime(form), *value) : "-";
}

void print_summary(const ImportanceSummary& summary) {
  const auto width = name_width(summary.tensors);
  fmt::print("{:<{}} {:>8} {:>8} {:>6} {:>13} {:>10} {:>11}  {}\n", "tensor", width, "share %", "entropy",
             "dead", "counts", "maximum", "sensitivity", "top columns (importance)");
  for (const auto& tensor : summary.tensors) {
    fmt::print("{:<{}} {:>8.3f} {:>8} {:>6} {:>13} {:>10} {:>11}  {}{}{}\n", printable(tensor.name), width,
               100 * tensor.share, or_dash(tensor.entropy, "{:.4f}"), tensor.dead_columns, counts_of(tensor),
               tensor.maximum ? fmt::format("{:.4g}", tensor.maximum->value) : "-",
               or_dash(tensor.sensitivity, "{:.4g}"), top_columns(tensor),
               tensor.fisher ? fmt::format("; Fisher diagonal in {}", name_of(*tensor.fisher)) : "",
               tensor.unseen_experts.empty()
                   ? ""
                   : fmt::format("; never seen: experts {}", fmt::join(tensor.unseen_experts, ", ")));
  }
}

void print_origin(const pipeline::ImportanceDescription& description) {
  const auto& matrix = description.matrix;
  std::vector<std::string> datasets;
  for (const auto& dataset : matrix.datasets) datasets.push_back(printable(dataset));
  fmt::print("{}: method {}, {} tensors, {} chunks of {} tokens\n", description.path, name_of(matrix.method),
             matrix.entries.size(), matrix.chunk_count,
             matrix.chunk_size == 0 ? "an unknown number of" : fmt::format("{}", matrix.chunk_size));
  if (!datasets.empty()) fmt::print("data: {}\n", fmt::join(datasets, ", "));
  if (!matrix.provenance.version.empty())
    fmt::print("made by Tessera {}: {}\n", printable(matrix.provenance.version),
               printable(matrix.provenance.options, 1000));
}

struct ShowOptions {
  std::filesystem::path file;
  std::size_t top = kDefaultTopColumns;
  bool json = false;
};

void show(const ShowOptions& options) {
  const auto description = pipeline::show_importance(options.file, options.top);
  if (options.json) return print_json(to_json(description));
  print_origin(description);
  print_summary(description.summary);
}

struct CompareOptions {
  std::filesystem::path first, second;
  bool json = false;
};

void print_only_in(const std::filesystem::path& file, const std::vector<std::string>& names) {
  for (const auto& name : names) fmt::print("only in {}: {}\n", file.string(), printable(name));
}

void print_range(std::string_view what, const std::optional<AgreementRange>& range) {
  if (!range) return;
  fmt::print("{:<17} mean {:.6f}, worst {:.6f} ({})\n", what, range->mean, range->worst,
             printable(range->worst_tensor));
}

void compare(const CompareOptions& options) {
  const auto comparison = pipeline::compare_importance_files(options.first, options.second);
  if (options.json) return print_json(to_json(comparison));
  if (comparison.first_method != comparison.second_method) {
    fmt::print("methods: {} and {}\n", name_of(comparison.first_method), name_of(comparison.second_method));
  }
  const auto width = name_width(comparison.tensors);
  fmt::print("{:<{}} {:>9} {:>16}\n", "tensor", width, "cosine", "rank correlation");
  for (const auto& tensor : comparison.tensors) {
    fmt::print("{:<{}} {:>9} {:>16}\n", printable(tensor.name), width, or_dash(tensor.cosine, "{:.6f}"),
               or_dash(tensor.rank_correlation, "{:.6f}"));
  }
  print_only_in(options.first, comparison.only_in_first);
  print_only_in(options.second, comparison.only_in_second);
  print_range("cosine:", comparison.cosine_range());
  print_range("rank correlation:", comparison.rank_correlation_range());
}

struct MergeOptions {
  CommonOptions common;
  std::vector<std::filesystem::path> inputs;
  std::filesystem::path output;
};

void merge(const MergeOptions& options) {
  ProgressDisplay progress(options.common);
  install_stop_handlers();
  const auto merged = pipeline::merge_importance_files(options.inputs, options.output, progress, stop_flag());
  if (options.common.quiet) return;
  fmt::print("wrote {}: {} tensors, {} chunks, {} data sets\n", options.output.string(),
             merged.entries.size(), merged.chunk_count, merged.datasets.size());
}

void add_show(CLI::App& imatrix) {
  auto options = std::make_shared<ShowOptions>();
  auto* command = imatrix.add_subcommand("show", "Show where the importance of a file is, tensor by tensor");
  command->add_option("file", options->file, "Importance matrix (GGUF or .dat)")->required();
  command->add_option("--top", options->top, "Most important columns to list for every tensor")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print the figures as JSON");
  command->footer("\nExample:\n  tessera imatrix show imatrix.gguf --top 5\n");
  command->callback([options] { show(*options); });
}

void add_compare(CLI::App& imatrix) {
  auto options = std::make_shared<CompareOptions>();
  auto* command = imatrix.add_subcommand(
      "compare", "Compare two files of one model: is importance the same for other calibration texts?");
  command->add_option("first", options->first, "Importance matrix (GGUF or .dat)")->required();
  command->add_option("second", options->second, "Importance matrix (GGUF or .dat)")->required();
  command->add_flag("--json", options->json, "Print the figures as JSON");
  command->footer("\nExample:\n  tessera imatrix compare books.gguf wiki.gguf\n");
  command->callback([options] { compare(*options); });
}

void add_merge(CLI::App& imatrix) {
  auto options = std::make_shared<MergeOptions>();
  auto* command = imatrix.add_subcommand("merge", "Join files of one model, as if their texts had been one");
  command->add_option("inputs", options->inputs, "Two or more importance matrices of one method and form")
      ->required()
      ->expected(2, 1 << 20);
  command->add_option("-o,--output", options->output, "File to write; .dat: the old form, otherwise GGUF")
      ->required();
  command->add_flag("--quiet,-q", options->common.quiet, "Print errors and warnings only");
  command->footer("\nExample:\n  tessera imatrix merge books.gguf wiki.gguf -o both.gguf\n");
  command->callback([options] { merge(*options); });
}

}  // namespace

void add_imatrix_files(CLI::App& imatrix) {
  add_show(imatrix);
  add_compare(imatrix);
  add_merge(imatrix);
}

}  // namespace tessera::cli
