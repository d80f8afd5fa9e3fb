// tessera inspect: what is in a model file or an importance matrix.
#include "pipeline/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>

#include "command.h"
#include "foundation/base/printable.h"

namespace tessera::cli {
namespace {

constexpr std::size_t kArrayItemsShown = 4;

struct InspectOptions {
  std::filesystem::path file;
  bool json = false;
};

std::string text_of(const nlohmann::json& value) {
  return printable(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), 120);
}

void print_metadata(const gguf::Metadata& metadata) {
  for (const auto& [key, value] : metadata.entries()) {
    fmt::print("  {} = {}\n", printable(key), text_of(pipeline::to_json(value, kArrayItemsShown)));
  }
}

void print_group(std::string_view name, const pipeline::TensorGroup& group) {
  fmt::print("  {:<12} {:>6} tensors {:>15} weights {:>12} {:>8.4f} bits per weight\n", name, group.tensors,
             group.weights, format_bytes(group.bytes), group.bits_per_weight());
}

/// Where the tensors of one role are stored in several types.
void print_types(const std::map<ElementType, pipeline::TensorGroup>& types) {
  for (const auto& [type, group] : types) print_group(fmt::format("  {}", name_of(type)), group);
}

void print_tensors(const pipeline::FileDescription& description) {
  const auto& tensors = description.tensors;
  const auto super_weights = pipeline::protected_weights(description.metadata);
  std::size_t width = 0;
  for (const auto& tensor : tensors) width = std::max(width, printable(tensor.name).size());
  for (const auto& tensor : tensors) {
    const auto found = super_weights.find(tensor.name);
    fmt::print("  {:<{}}  {:<8} {:>12}  [{}]{}\n", printable(tensor.name), width, name_of(tensor.type),
               format_bytes(tensor.bytes()), fmt::join(tensor.shape, ", "),
               found == super_weights.end() ? "" : fmt::format("  {} super weights", found->second));
  }
}

std::string extras_of(const imatrix::ImatrixFile& matrix, const std::string& name,
                      const imatrix::Entry& entry) {
  std::string text;
  if (!entry.maxima.empty()) text += fmt::format(", maximum {:.4g}", std::ranges::max(entry.maxima));
  if (entry.sensitivity) text += fmt::format(", sensitivity {:.4g}", *entry.sensitivity);
  const auto fisher = matrix.fisher.find(name);
  if (fisher != matrix.fisher.end())
    text += fmt::format(", Fisher diagonal in {}", name_of(fisher->second.type));
  return text;
}

void print_importance(const imatrix::ImatrixFile& matrix) {
  fmt::print("method: {}\ndata sets: {}\nchunks: {} of {} tokens\nentries: {}\n", name_of(matrix.method),
             fmt::join(matrix.datasets, ", "), matrix.chunk_count, matrix.chunk_size, matrix.entries.size());
  for (const auto& [name, entry] : matrix.entries) {
    const auto unseen = std::ranges::count(entry.counts, 0u);
    const auto [least, most] = std::ranges::minmax(entry.counts);
    fmt::print("  {}  {} columns, {} {}, counts {} to {}{}{}\n", printable(name), entry.columns,
               entry.experts(), entry.experts() == 1 ? "matrix" : "experts", least, most,
               unseen == 0 ? "" : fmt::format(", {} never seen", unseen), extras_of(matrix, name, entry));
  }
}

void print_model(const pipeline::FileDescription& description) {
  fmt::print("tensors:\n");
  print_tensors(description);
  fmt::print("by role:\n");
  const auto types = pipeline::types_by_role(description.tensors);
  for (const auto& [role, group] : pipeline::group_by_role(description.tensors)) {
    print_group(name_of(role), group);
    if (types.at(role).size() > 1) print_types(types.at(role));
  }
  fmt::print("by type:\n");
  for (const auto& [type, group] : pipeline::group_by_type(description.tensors))
    print_group(name_of(type), group);
  print_group("total", pipeline::total_of(description.tensors));
}

void run(const InspectOptions& options) {
  const auto description = pipeline::inspect(options.file);
  if (options.json) {
    fmt::print("{}\n", to_json(description).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  fmt::print("{}: {}\n", description.path, name_of(description.kind));
  if (!description.metadata.entries().empty()) {
    fmt::print("metadata:\n");
    print_metadata(description.metadata);
  }
  if (description.importance) {
    print_importance(*description.importance);
  } else {
    print_model(description);
  }
}

}  // namespace

void add_inspect(CLI::App& program) {
  auto options = std::make_shared<InspectOptions>();
  auto* command = program.add_subcommand("inspect", "Show what is in a model file or an importance matrix");
  command->add_option("file", options->file, "GGUF file, safetensors file or folder, or importance matrix")
      ->required();
  command->add_flag("--json", options->json, "Print the description as JSON");
  command->footer("\nExample:\n  tessera inspect model-Q4_K_M.gguf\n");
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli
