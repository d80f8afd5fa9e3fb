// Lists of super weights as files: what is written reads back, what is damaged is refused by member, and a
// list of another model is told by its places and values.
#include "artifacts/super_weight_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "foundation/base/error.h"
#include "tensor/memory_source.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

SuperWeight weight_at(std::uint64_t row, std::uint64_t column, float value) {
  return {.tensor = "blk.1.ffn_down.weight", .row = row, .column = column, .value = value, .score = 2.5};
}

SuperWeightList full_list() {
  SuperWeightList list;
  list.model_hash = "0123456789abcdef0123456789abcdef";
  list.coverage = CoverageOutcome{};
  list.coverage->asked = 1e-4;
  list.coverage->considered = 12345678901;
  list.coverage->score = "activation";
  list.coverage->threshold = 0.125;
  list.coverage->fence = 0.25;
  list.coverage->found = 1;
  list.spikes = SpikeOutcome{};
  list.spikes->input_ratio = 50;
  list.spikes->output_ratio = 40;
  list.spikes->tokens = 512;
  list.spikes->found = 1;
  list.weights = {weight_at(3, 4, 0.1f), weight_at(3, 4, 0.1f)};
  list.weights[0].block_ratio = 31.5;
  list.weights[1].notion = SuperWeightNotion::activation_spike;
  return list;
}

SuperWeightList parsed(const std::string& text) {
  return parse_super_weights(std::as_bytes(std::span(text)), "list.json");
}

TEST(SuperWeightFile, ReadsBackAsItWasWritten) {
  const auto list = full_list();
  EXPECT_EQ(parsed(to_json(list).dump()), list);
  EXPECT_EQ(parsed(to_json(SuperWeightList{}).dump()), SuperWeightList{});
}

TEST(SuperWeightFile, NeedsNoMoreThanPlaceValueScoreAndNotion) {
  const auto list = parsed(
      R"({"super_weights_version": 1, "weights": [{"tensor": "a", "row": 1, "column": 2, "value": -1,
          "score": 0, "notion": "activation_spike", "note": "mine"}]})");
  ASSERT_EQ(list.weights.size(), 1u);
  EXPECT_EQ(list.weights[0].value, -1);
  EXPECT_EQ(list.weights[0].notion, SuperWeightNotion::activation_spike);
  EXPECT_FALSE(list.coverage || list.spikes || list.weights[0].block_ratio);
}

TEST(SuperWeightFile, NamesTheMemberThatIsWrong) {
  const std::vector<std::tuple<std::string, nlohmann::json, std::string>> cases = {
      {"/super_weights_version", 2, "version"},
      {"/super_weights_version", "1", "version"},
      {"/model_hash", "0123", "model_hash"},
      {"/model_hash", "0123456789ABCDEF0123456789ABCDEF", "model_hash"},
      {"/model_hash", 7, "model_hash"},
      {"/weights", nullptr, "weights"},
      {"/weights/0", 3, "weights[0]"},
      {"/weights/0/tensor", 3, "weights[0].tensor"},
      {"/weights/0/row", -1, "weights[0].row"},
      {"/weights/1/column", 1.5, "weights[1].column"},
      {"/weights/0/value", "1", "weights[0].value"},
      {"/weights/0/value", 1e39, "weights[0].value"},
      {"/weights/0/value", -1e39, "weights[0].value"},
      {"/weights/0/score", -1, "weights[0].score"},
      {"/weights/0/notion", "both", "activation_spike"},
      {"/weights/0/block_ratio", -2, "weights[0].block_ratio"},
      {"/weights/1/notion", "coverage", "twice"},
      {"/coverage", 3, "coverage"},
      {"/coverage/asked", 0, "coverage.asked"},
      {"/coverage/threshold", nullptr, "coverage.threshold"},
      {"/coverage/fence", "x", "coverage.fence"},
      {"/coverage/found", -1, "coverage.found"},
      {"/activation_spikes", nlohmann::json::array(), "activation_spikes"},
      {"/activation_spikes/tokens", "many", "activation_spikes.tokens"},
      {"/activation_spikes/input_ratio", -5, "activation_spikes.input_ratio"},
  };
  for (const auto& [place, value, says] : cases) {
    auto document = to_json(full_list());
    document[nlohmann::json::json_pointer(place)] = value;
    EXPECT_THAT([&] { parsed(document.dump()); },
                ThrowsMessage<BadFileError>(AllOf(HasSubstr("list.json"), HasSubstr(says))))
        << place;
  }
  for (const std::string text :
       {"", "[]", "7", "{}", "{\"super_weights_version\": 1}", "{\"weights\": []}", "{"})
    EXPECT_THROW(parsed(text), BadFileError) << text;
}

class LocatedSuperWeights : public ::testing::Test {
 protected:
  LocatedSuperWeights() {
    source.add("blk.0.ffn_norm.weight", ElementType::F32, {64}, std::vector<float>(64, 1));
    source.add("blk.1.ffn_down.weight", ElementType::F16, {4, 64}, testing::normal_weights(256, 5));
    std::vector<std::byte> scratch;
    std::vector<float> row(64);
    codecs::codec_for(ElementType::F16).decode(source.stored_rows(1, {3, 1}, scratch), row);
    list.weights = {weight_at(3, 4, row[4])};
  }

  void expect_refused(const std::string& says) const {
    EXPECT_THAT([this] { locate_super_weights(list, source, "list.json"); },
                ThrowsMessage<BadFileError>(
                    AllOf(HasSubstr("list.json"), HasSubstr(says), HasSubstr("find them again"))));
  }

  testing::MemorySource source;
  SuperWeightList list;
};

TEST_F(LocatedSuperWeights, AreThoseOfTheSource) {
  EXPECT_THAT(locate_super_weights(list, source, "list.json"), ElementsAre(1u));
}

TEST_F(LocatedSuperWeights, AreRefusedWhereTheModelIsAnother) {
  list.weights[0].value *= 1.001f;
  expect_refused("row 3, column 4 is");
  list.weights[0].row = 4;
  expect_refused("row 4, column 4 is outside");
  list.weights[0].row = 3;
  list.weights[0].column = 64;
  expect_refused("column 64 is outside");
  list.weights[0].tensor = "blk.2.ffn_down.weight";
  expect_refused("no such tensor");
}

}  // namespace
}  // namespace tessera
