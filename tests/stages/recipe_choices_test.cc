// Types per tensor against those of llama-quantize, observed on models of many shapes
// (testdata/recipes/llama_quantize_choices.json).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "foundation/base/error.h"
#include "stages/choose_types.h"

namespace tessera::stages {
namespace {

using nlohmann::json;

const json& observed_models() {
  static const json file =
      json::parse(std::ifstream(TESSERA_TESTDATA "/recipes/llama_quantize_choices.json"));
  return file.at("models");
}

std::string name_in_layer(std::string name, std::uint32_t layer) {
  if (const auto star = name.find('*'); star != std::string::npos)
    name.replace(star, 1, std::to_string(layer));
  return name;
}

bool is_layered(const std::string& name) { return name.find('*') != std::string::npos; }

std::vector<TensorDescriptor> tensors_of(const json& model) {
  std::vector<TensorDescriptor> tensors;
  for (const auto& [name, tensor] : model.at("tensors").items()) {
    const std::uint32_t count = is_layered(name) ? model.at("layers").get<std::uint32_t>() : 1;
    for (std::uint32_t layer = 0; layer < count; ++layer) {
      tensors.push_back({name_in_layer(name, layer),
                         *element_type_from_name(tensor.at("type").get<std::string>()),
                         tensor.at("shape").get<std::vector<std::uint64_t>>()});
    }
  }
  return tensors;
}

model::ModelFacts facts_of_json(const json& model) {
  return {model.at("architecture"),    model.at("layers"),  model.at("query_heads"),
          model.at("key_value_heads"), model.at("experts"), model.at("tensors").contains("output.weight")};
}

/// "Q6_K*3 Q4_K" -> {"Q6_K", "Q6_K", "Q6_K", "Q4_K"}
std::vector<std::string> expand(const std::string& runs) {
  std::vector<std::string> types;
  std::istringstream words(runs);
  for (std::string word; words >> word;) {
    const auto star = word.find('*');
    const std::size_t count = star == std::string::npos ? 1 : std::stoul(word.substr(star + 1));
    types.insert(types.end(), count, word.substr(0, star));
  }
  return types;
}

std::map<std::string, std::string> types_of(const QuantPlan& plan) {
  std::map<std::string, std::string> types;
  for (const auto& tensor : plan.tensors) types[tensor.source.name] = name_of(tensor.target);
  return types;
}

/// "Q4_K_M+imatrix" -> the settings it stands for.
TypeChoice choice_of(const std::string& key) {
  const auto plus = key.find('+');
  const std::string option = plus == std::string::npos ? "" : key.substr(plus + 1);
  TypeChoice choice;
  choice.recipe = find_recipe(key.substr(0, plus)).value();
  choice.has_importance = option == "imatrix";
  if (option == "pure") choice.pure_type = choice.recipe.type;
  return choice;
}

/// llama-quantize counts expert tensors, not layers, when it looks for the first eighth of them in these
/// recipes, so that with shared experts beside the routed ones it is the first sixteenth. We count layers.
bool is_known_difference(const std::string& model, const std::string& key) {
  return model == "16 experts and shared ones" && (key.starts_with("IQ1") || key.starts_with("IQ2"));
}

void expect_same_types(const std::string& model_name, const json& model, const std::string& key,
                       const json& observed) {
  SCOPED_TRACE(fmt::format("{}: {}", model_name, key));
  const TypeChoice choice = choice_of(key);
  if (observed == "refused") {
    EXPECT_THROW(choose_types(tensors_of(model), facts_of_json(model), choice), UsageError);
    return;
  }
  const auto types = types_of(choose_types(tensors_of(model), facts_of_json(model), choice));
  for (const auto& [name, runs] : observed.items()) {
    const auto expected = expand(runs);
    for (std::uint32_t layer = 0; layer < expected.size(); ++layer) {
      EXPECT_EQ(types.at(name_in_layer(name, layer)), expected[layer]) << name_in_layer(name, layer);
    }
  }
}

TEST(RecipeChoices, EqualThoseOfLlamaQuantizeForEveryMixtureAndModelShape) {
  int compared = 0;
  for (const auto& [model_name, model] : observed_models().items()) {
    for (const auto& [key, observed] : model.at("choices").items()) {
      if (is_known_difference(model_name, key)) continue;
      const bool same = observed == "as without importance matrix";
      expect_same_types(model_name, model, key,
                        same ? model.at("choices").at(key.substr(0, key.find('+'))) : observed);
      ++compared;
    }
  }
  EXPECT_GT(compared, 1000);
}

TEST(RecipeChoices, EveryFileTypeHasItsNumber) {
  const std::map<std::string, std::uint32_t> numbers = {
      {"F32", 0},     {"F16", 1},     {"Q4_0", 2},       {"Q4_1", 3},    {"Q8_0", 7},     {"Q5_0", 8},
      {"Q5_1", 9},    {"Q2_K", 10},   {"Q3_K_S", 11},    {"Q3_K_M", 12}, {"Q3_K_L", 13},  {"Q4_K_S", 14},
      {"Q4_K_M", 15}, {"Q5_K_S", 16}, {"Q5_K_M", 17},    {"Q6_K", 18},   {"IQ2_XXS", 19}, {"IQ2_XS", 20},
      {"Q2_K_S", 21}, {"IQ3_XS", 22}, {"IQ3_XXS", 23},   {"IQ1_S", 24},  {"IQ4_NL", 25},  {"IQ3_S", 26},
      {"IQ3_M", 27},  {"IQ2_S", 28},  {"IQ2_M", 29},     {"IQ4_XS", 30}, {"IQ1_M", 31},   {"BF16", 32},
      {"TQ1_0", 36},  {"TQ2_0", 37},  {"MXFP4_MOE", 38}, {"NVFP4", 39},  {"Q1_0", 40},    {"Q2_0", 41}};
  for (const auto& [name, number] : numbers) {
    const auto recipe = find_recipe(name);
    ASSERT_TRUE(recipe.has_value()) << name;
    EXPECT_EQ(recipe->name, name);
    EXPECT_EQ(recipe->file_type, number) << name;
  }
}

TEST(RecipeChoices, AliasesAndLowerCaseNamesAreFound) {
  EXPECT_EQ(find_recipe("q4_k").value().name, "Q4_K_M");
  EXPECT_EQ(find_recipe("Q3_K").value().name, "Q3_K_M");
  EXPECT_EQ(find_recipe("q3_k_m").value().name, "Q3_K_M");
  EXPECT_FALSE(find_recipe("Q9_X").has_value());
}

TEST(RecipeChoices, EveryFileIsNamedAfterItsRecipe) {
  for (const auto& recipe : built_in_recipes()) EXPECT_EQ(find_recipe(recipe.name).value().name, recipe.name);
}

}  // namespace
}  // namespace tessera::stages
