// What a JSON Schema of docs/ has against a value.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>
#include <vector>

namespace tessera::testing {

inline nlohmann::json schema_document(const std::string& name) {
  std::ifstream file(std::filesystem::path(TESSERA_SOURCE) / "docs" / name);
  return nlohmann::json::parse(file);
}

/// Empty when `value` is as the schema `name` describes; it may refer to others beside it. The value is taken
/// through its text, in which numbers that are not finite become null.
inline std::string schema_complaints(const std::string& name, const nlohmann::json& value) {
  using Adapter = valijson::adapters::NlohmannJsonAdapter;
  const nlohmann::json document = schema_document(name);
  std::vector<std::unique_ptr<const nlohmann::json>> others;  // the parser only borrows them
  const auto fetch = [&others](const std::string& uri) {
    others.push_back(std::make_unique<const nlohmann::json>(schema_document(uri)));
    return others.back().get();
  };
  valijson::Schema schema;
  valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
  parser.populateSchema(Adapter(document), schema, fetch, [](const nlohmann::json*) {});
  const auto written = nlohmann::json::parse(value.dump());
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  valijson::ValidationResults results;
  validator.validate(schema, Adapter(written), &results);
  std::string text;
  for (const auto& result : results) {
    for (const auto& part : result.context) text += part;
    text += ": " + result.description + "\n";
  }
  return text;
}

}  // namespace tessera::testing
