// Finding super weights in the demo model, from the model and a text to the list: planted ones are found by
// their spikes and nothing else is, scores follow the importance matrix, and neither threads nor a stop
// change a thing.
#include "pipeline/super_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "foundation/base/error.h"
#include "pipeline/ablate_super_weights.h"
#include "pipeline/demo_model.h"
#include "pipeline/imatrix.h"
#include "stages/edited_weights.h"

namespace tessera::pipeline {
namespace {

using stages::WeightEdit;
using tessera::testing::kDemoModel;
using tessera::testing::short_corpus;
using tessera::testing::StopInStage;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::uint64_t kNeuron = 77;
constexpr const char* kDown = "blk.1.ffn_down.weight";

class FoundSuperWeights : public ::testing::Test {
 protected:
  FoundSuperWeights() : model(model::open_model(kDemoModel)) {
    walks.corpus = short_corpus(4);
    walks.precision = kernels::Precision::f32;
    walks.use_cache = false;
  }

  /// A neuron of layer 1 that is far more active than others, and a weight that takes it on, each in `rows`.
  void plant(const std::vector<std::uint64_t>& rows, float weight = 10) {
    auto base = std::move(model.weights);
    std::vector<WeightEdit> edits;
    std::vector<std::byte> scratch;
    for (const char* name : {"blk.1.ffn_gate.weight", "blk.1.ffn_up.weight"}) {
      const auto tensor = base->find(name).value();
      std::vector<float> row(base->tensors()[tensor].columns());
      codecs::codec_for(base->tensors()[tensor].type)
          .decode(base->stored_rows(tensor, {kNeuron, 1}, scratch), row);
      for (std::uint64_t c = 0; c < row.size(); ++c) edits.push_back({tensor, kNeuron, c, 20 * row[c]});
    }
    const auto down = base->find(kDown).value();
    for (std::uint64_t r = 0; r < base->tensors()[down].rows(); ++r) edits.push_back({down, r, kNeuron, 0});
    for (const auto row : rows) edits.push_back({down, row, kNeuron, weight});
    planted_base = std::move(base);
    model.weights = std::make_unique<stages::EditedWeights>(*planted_base, std::move(edits));
  }

  SuperWeightList find(const SuperWeightSettings& settings, int threads = 2) {
    TextWalkJob job{path, model, open, walks};
    job.threads = threads;
    SilentProgress silent;
    return find_super_weights(job, settings, silent, StopFlag());
  }

  static SuperWeightSettings by_spikes() {
    SuperWeightSettings settings;
    settings.search = SuperWeightSearch::spikes;
    return settings;
  }

  std::filesystem::path path = kDemoModel;
  model::OpenSettings open;
  std::unique_ptr<WeightSource> planted_base;
  model::OpenedModel model;
  TextWalkSettings walks;
  tessera::testing::ScratchFolder folder;
};

TEST_F(FoundSuperWeights, AreNotThereByTheirSpikesInAnOrdinaryModel) {
  const auto list = find(by_spikes());
  EXPECT_TRUE(list.weights.empty());
  EXPECT_EQ(list.spikes->tokens, 4u * 32);
  EXPECT_EQ(list.model_hash.size(), 32u);
}

TEST_F(FoundSuperWeights, ArePlantedOnesAndNothingElse) {
  plant({17, 200});
  const auto list = find(by_spikes());
  EXPECT_THAT(list.weights, ::testing::UnorderedElementsAre(
                                AllOf(Field(&SuperWeight::tensor, kDown), Field(&SuperWeight::row, 17),
                                      Field(&SuperWeight::column, kNeuron)),
                                AllOf(Field(&SuperWeight::tensor, kDown), Field(&SuperWeight::row, 200),
                                      Field(&SuperWeight::column, kNeuron))));
  EXPECT_EQ(list, find(by_spikes(), 1));
  for (const auto& weight : list.weights) EXPECT_GT(weight.block_ratio.value(), 50);
}

TEST_F(FoundSuperWeights, ByCoverageLeadTheScoresOfTheText) {
  // The text's importance is that of the model's files, where the neuron is as others are.
  plant({17}, 10000);
  SuperWeightSettings settings;
  settings.search = SuperWeightSearch::coverage;
  settings.names_model = false;
  const auto list = find(settings);
  ASSERT_FALSE(list.weights.empty());
  EXPECT_EQ(list.weights[0].tensor, kDown);
  EXPECT_EQ(list.weights[0].column, kNeuron);
  EXPECT_EQ(list.coverage->score, "activation");
  EXPECT_TRUE(list.model_hash.empty());
}

TEST_F(FoundSuperWeights, TakeTheirScoresFromTheImportanceMatrix) {
  const auto make = [&](ImportanceMethod method, bool per_weight) {
    ImatrixSettings imatrix;
    imatrix.model = kDemoModel;
    imatrix.output = folder / "imatrix.gguf";
    imatrix.corpus = short_corpus(2);
    imatrix.method = method;
    imatrix.per_weight_fisher = per_weight;
    imatrix.use_cache = false;
    SilentProgress silent;
    make_imatrix(imatrix, silent, StopFlag());
  };
  SuperWeightSettings settings;
  settings.search = SuperWeightSearch::coverage;
  settings.imatrix = folder / "imatrix.gguf";
  make(ImportanceMethod::fisher, true);
  const auto by_weight = find(settings);
  EXPECT_EQ(by_weight.coverage->score, "gradient");
  make(ImportanceMethod::fisher, false);
  const auto by_column = find(settings);
  EXPECT_EQ(by_column.coverage->score, "gradient of columns");
  EXPECT_NE(by_weight.weights, by_column.weights);
  make(ImportanceMethod::gradient, false);
  EXPECT_THAT([&] { find(settings); }, ThrowsMessage<UsageError>(HasSubstr("--method activation")));
}

TEST_F(FoundSuperWeights, CanBeStopped) {
  TextWalkJob job{path, model, open, walks};
  StopInStage stopping("finding activation spikes", 2);
  EXPECT_THROW(find_super_weights(job, by_spikes(), stopping, stopping.stop), InterruptedError);
}

TEST_F(FoundSuperWeights, ByTheirSpikesNeedATextAndAKnownModel) {
  walks.corpus.files.clear();
  EXPECT_THAT([&] { find(by_spikes()); }, ThrowsMessage<UsageError>(HasSubstr("-f FILE")));
}

TEST_F(FoundSuperWeights, MatterMoreThanOthersWhenTheyAreAblated) {
  plant({17, 200});
  TextWalkJob job{path, model, open, walks};
  AblationSettings settings;
  settings.evaluation = short_corpus(4);
  settings.type = "Q8_0";
  SilentProgress silent;
  const auto ablation = ablate_super_weights(job, find(by_spikes()), settings, silent, StopFlag());
  ASSERT_EQ(ablation.variants.size(), 6u);
  EXPECT_THAT(ablation.variants,
              ElementsAre(Field(&AblatedModel::weights, 0u), Field(&AblatedModel::weights, 2u),
                          Field(&AblatedModel::weights, 2u), Field(&AblatedModel::weights, 20u),
                          Field(&AblatedModel::weights, 2u), Field(&AblatedModel::weights, 2u)));
  EXPECT_GT(ablation.variants[1].kl_divergence.value, 10 * ablation.variants[3].kl_divergence.value);
}

}  // namespace
}  // namespace tessera::pipeline
