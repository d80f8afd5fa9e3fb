// The YAML and JSON of docs/dynamic.md is read by the program, and docs/quant-config.schema.json says the
// same of a configuration as the program does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "artifacts/plan_document.h"
#include "artifacts/quant_config.h"
#include "foundation/base/error.h"

namespace tessera::docs {
namespace {

using nlohmann::json;

std::string content_of(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

const std::filesystem::path kDocs = std::filesystem::path(TESSERA_SOURCE) / "docs";

/// The fenced blocks of docs/dynamic.md in this language.
std::vector<std::string> blocks_in(const std::string& language) {
  std::vector<std::string> found;
  std::istringstream text(content_of(kDocs / "dynamic.md"));
  bool inside = false;
  for (std::string line; std::getline(text, line);) {
    if (line == "```" + language) {
      inside = true;
      found.emplace_back();
    } else if (line == "```") {
      inside = false;
    } else if (inside) {
      found.back() += line + "\n";
    }
  }
  return found;
}

/// What the schema says of a configuration.
bool schema_accepts(const json& configuration) {
  const json text = json::parse(content_of(kDocs / "quant-config.schema.json"));
  valijson::Schema schema;
  valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
  parser.populateSchema(valijson::adapters::NlohmannJsonAdapter(text), schema);
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  return validator.validate(schema, valijson::adapters::NlohmannJsonAdapter(configuration), nullptr);
}

bool program_accepts(const std::string& text) {
  try {
    parse_quant_config(text, "conf");
  } catch (const BadFileError&) {
    return false;
  }
  return true;
}

TEST(DocumentedConfigurations, EveryYamlBlockIsRead) {
  int configurations = 0;
  int profiles = 0;
  int plans = 0;
  for (const auto& block : blocks_in("yaml")) {
    if (block.find("\ntensors:") != std::string::npos) {
      EXPECT_NO_THROW(parse_plan(block, "dynamic.md")) << block;
      ++plans;
    } else if (block.starts_with("name:")) {
      std::vector<EmbeddedFile> files(embedded_profiles().begin(), embedded_profiles().end());
      files.push_back({"output-high.yaml", block});
      EXPECT_NO_THROW(resolve_profile("output-high", files)) << block;
      ++profiles;
    } else {
      EXPECT_NO_THROW(parse_quant_config(block, "dynamic.md")) << block;
      ++configurations;
    }
  }
  EXPECT_GE(configurations, 2);
  EXPECT_GE(profiles, 1);
  EXPECT_GE(plans, 1);
}

TEST(DocumentedConfigurations, EveryJsonBlockIsReadAndFollowsTheSchema) {
  const auto blocks = blocks_in("json");
  EXPECT_FALSE(blocks.empty());
  for (const auto& block : blocks) {
    EXPECT_NO_THROW(parse_quant_config(block, "dynamic.md")) << block;
    EXPECT_TRUE(schema_accepts(json::parse(block))) << block;
  }
}

TEST(DocumentedConfigurations, TheCompleteExampleHasEveryKey) {
  const json schema = json::parse(content_of(kDocs / "quant-config.schema.json"));
  const auto example = blocks_in("yaml").front();
  for (const auto& [key, value] : schema["properties"].items()) {
    EXPECT_THAT(example, testing::HasSubstr(key + ":"));
  }
  for (const auto& [key, value] : schema["definitions"]["rule"]["properties"].items()) {
    if (key == "keep") continue;  // `exclude` is its short form
    EXPECT_THAT(example, testing::HasSubstr(key + ":"));
  }
}

TEST(ConfigurationSchema, ListsTheTypesOfWeights) {
  std::set<std::string> types;
  for (const auto& type : all_element_types()) {
    if (is_weight_type(type.type)) types.emplace(type.name);
  }
  const json schema = json::parse(content_of(kDocs / "quant-config.schema.json"));
  EXPECT_EQ(schema["definitions"]["type"]["enum"].get<std::set<std::string>>(), types);
}

class Configuration : public testing::TestWithParam<const char*> {};
class WrongConfiguration : public testing::TestWithParam<const char*> {};

TEST_P(Configuration, IsAcceptedByProgramAndSchema) {
  EXPECT_TRUE(program_accepts(GetParam()));
  EXPECT_TRUE(schema_accepts(json::parse(GetParam())));
}

TEST_P(WrongConfiguration, IsRefusedByProgramAndSchema) {
  EXPECT_FALSE(program_accepts(GetParam()));
  EXPECT_FALSE(schema_accepts(json::parse(GetParam())));
}

INSTANTIATE_TEST_SUITE_P(
    Schema, Configuration,
    testing::Values(R"({"target": {"bpw": 2.5}})", R"({"target": {"size": "3.5GiB"}})",
                    R"({"target": {"size": 12345}})", R"({"target": {"size": "900 M"}})",
                    R"({"data": "a.txt"})", R"({"candidates": "Q4_K"})", R"({"rules": []})",
                    R"({"exclude": []})", R"({"rules": [{"min": 3}]})",
                    R"({"rules": [{"layers": 3, "min": "Q4_K", "max": 5}]})",
                    R"({"rules": [{"layers": ["first 2", "0-4"], "keep": true}]})",
                    R"({"rules": [{"experts": "shared", "models": "moe", "type": "F16"}]})"));

INSTANTIATE_TEST_SUITE_P(
    Schema, WrongConfiguration,
    testing::Values(R"({"profle": "balanced"})", R"({"target": {}})", R"({"target": {"bpw": 2, "size": 5}})",
                    R"({"target": {"bpw": 0}})", R"({"target": {"bpw": "2"}})",
                    R"({"target": {"size": "big"}})", R"({"target": {"compression": 100}})",
                    R"({"sensitivity": "guess"})", R"({"candidates": []})",
                    R"({"candidates": ["Q4_K", "Q4_K"]})", R"({"candidates": ["I8"]})", R"({"rules": [{}]})",
                    R"({"rules": [{"roles": "ffn"}]})", R"({"rules": [{"roles": [], "min": 3}]})",
                    R"({"rules": [{"layers": "first 0", "min": 3}]})",
                    R"({"rules": [{"layers": -1, "min": 3}]})", R"({"rules": [{"type": "Q4_K", "min": 3}]})",
                    R"({"rules": [{"type": "Q4_K", "keep": true}]})", R"({"rules": [{"keep": false}]})",
                    R"({"rules": [{"min": 0}]})", R"({"rules": [{"experts": "all", "min": 3}]})",
                    R"({"rules": [{"rolse": "ffn", "min": 3}]})"));

}  // namespace
}  // namespace tessera::docs
