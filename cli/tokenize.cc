// tessera tokenize: the tokens of a text, with the options and the output of llama-tokenize.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "command.h"
#include "foundation/base/error.h"
#include "foundation/formats/json/json_object.h"
#include "model/source/open_model.h"
#include "model/text/tokenizer.h"

namespace tessera::cli {
namespace {

struct TokenizeOptions {
  std::filesystem::path model;
  model::OpenSettings open;
  std::optional<std::filesystem::path> file;
  std::optional<std::string> prompt;
  bool from_stdin = false;
  bool ids_only = false;
  bool no_bos = false;
  bool no_parse_special = false;
  bool show_count = false;
  bool escape = true;
  bool log_disable = false;  ///< as llama-tokenize takes it; there is no log here to disable
};

std::string text_of(const TokenizeOptions& options) {
  if (options.from_stdin) return {std::istreambuf_iterator<char>(std::cin), {}};
  if (options.file) return json::read_text_file(*options.file);
  if (options.prompt) return *options.prompt;
  throw UsageError("there is nothing to tokenize: give -f FILE, -p TEXT or --stdin");
}

std::optional<char> hexadecimal_byte(std::string_view digits) {
  unsigned byte = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
  const bool is_whole = digits.size() == 2 && error == std::errc() && end == digits.data() + digits.size();
  return is_whole ? std::optional(static_cast<char>(byte)) : std::nullopt;
}

/// \n, \r, \t, \', \", \\ and \xHH become what they stand for; any other backslash stays.
std::string unescaped(std::string_view text) {
  constexpr std::string_view kNames = "nrt'\"\\";
  constexpr std::string_view kCharacters = "\n\r\t'\"\\";
  std::string result;
  while (!text.empty()) {
    const bool escapes = text.size() > 1 && text.front() == '\\';
    const std::size_t name = escapes ? kNames.find(text[1]) : std::string_view::npos;
    const auto byte = escapes && text[1] == 'x' ? hexadecimal_byte(text.substr(2, 2)) : std::nullopt;
    result += byte ? *byte : name != std::string_view::npos ? kCharacters[name] : text.front();
    text.remove_prefix(byte ? 4 : name != std::string_view::npos ? 2 : 1);
  }
  return result;
}

void print_tokens(const model::Tokenizer& tokenizer, const std::vector<model::TokenId>& tokens) {
  for (const model::TokenId token : tokens) fmt::print("{:6} -> '{}'\n", token, tokenizer.piece(token));
}

void run(const TokenizeOptions& options) {
  const std::string text = text_of(options);
  const auto opened = model::open_model(options.model, options.open);
  const auto tokenizer = model::make_tokenizer(opened.metadata, options.model.string());
  const auto tokens =
      tokenizer->encode(options.escape ? unescaped(text) : text,
                        {.add_special = !options.no_bos, .parse_special = !options.no_parse_special});
  if (options.ids_only) {
    fmt::print("[{}]\n", fmt::join(tokens, ", "));
  } else {
    print_tokens(*tokenizer, tokens);
  }
  if (options.show_count) fmt::print("Total number of tokens: {}\n", tokens.size());
}

}  // namespace

void add_tokenize(CLI::App& program) {
  auto options = std::make_shared<TokenizeOptions>();
  auto* command = program.add_subcommand("tokenize", "Show the tokens of a text");
  command
      ->add_option("model,-m,--model", options->model,
                   "GGUF file (its vocabulary is enough) or Hugging Face folder")
      ->required();
  auto* file = command->add_option("-f,--file", options->file, "File with the text");
  auto* prompt = command->add_option("-p,--prompt", options->prompt, "The text");
  auto* from_stdin = command->add_flag("--stdin", options->from_stdin, "Read the text from standard input");
  file->excludes(prompt)->excludes(from_stdin);
  prompt->excludes(from_stdin);
  command->add_flag("--ids", options->ids_only, "Print the ids only, as a list: [1, 2, 3]");
  command->add_flag("--no-bos", options->no_bos, "Add no BOS (nor EOS), even if the model asks for it");
  command->add_flag("--no-parse-special", options->no_parse_special,
                    "Take special tokens that the text spells for ordinary text");
  command->add_flag("--show-count", options->show_count, "Print the number of tokens, too");
  command->add_flag(
      "-e,--escape,!--no-escape", options->escape,
      R"(Whether \n, \t, \\ and their like in the text stand for those characters (default: yes))");
  command->add_flag("--log-disable", options->log_disable,
                    "Nothing but the tokens is printed anyway; for llama-tokenize's command lines");
  command->add_option("--pre", options->open.pre_tokenizer,
                      "llama.cpp's name of the pre-tokenizer, where tokenizer.json does not tell it");
  command->footer("\nExample:\n  tessera tokenize model.gguf -p 'Hello world' --ids\n");
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli
