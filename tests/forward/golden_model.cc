#include "forward/golden_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "foundation/formats/safetensors/safetensors_source.h"
#include "model/forward/output_head.h"

namespace tessera::testing {
namespace {

namespace fs = std::filesystem;

const fs::path kTestdata = TESSERA_TESTDATA;

fs::path weights_folder(const std::string& name) {
  return name == "demo-model" ? kTestdata / name : kTestdata / "forward" / name;
}

template <class T>
std::vector<T> as(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace

GoldenTensors::GoldenTensors(const std::string& path) : source_(safetensors::open_safetensors(path)) {}

std::vector<std::byte> GoldenTensors::bytes(const std::string& name) const {
  const auto tensor = source_->find(name);
  if (!tensor) throw std::runtime_error(source_->name() + " has no " + name);
  std::vector<std::byte> scratch;
  const auto stored = source_->stored_rows(*tensor, {0, source_->tensors()[*tensor].rows()}, scratch);
  return {stored.begin(), stored.end()};
}

std::vector<float> GoldenTensors::floats(const std::string& name) const { return as<float>(bytes(name)); }
std::vector<std::int32_t> GoldenTensors::integers(const std::string& name) const {
  return as<std::int32_t>(bytes(name));
}
std::vector<std::uint64_t> GoldenTensors::shape(const std::string& name) const {
  return source_->tensors()[source_->find(name).value()].shape;
}

std::vector<std::string> GoldenTensors::names(const std::string& prefix) const {
  std::vector<std::string> found;
  for (const auto& tensor : source_->tensors()) {
    if (tensor.name.starts_with(prefix)) found.push_back(tensor.name.substr(prefix.size()));
  }
  return found;
}

GoldenModel::GoldenModel(const std::string& name)
    : GoldenModel((kTestdata / "forward" / name).string(), weights_folder(name).string()) {}

GoldenModel::GoldenModel(const std::string& figures, const std::string& weights,
                         const model::OpenSettings& settings)
    : folder(figures),
      model(model::open_model(weights, settings)),
      config(model::read_decoder_config(model)),
      golden((fs::path(folder) / "golden.safetensors").string()),
      tokens(golden.integers("tokens")),
      context(static_cast<std::size_t>(golden.shape("tokens").back())) {}

std::vector<std::string> golden_models() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kTestdata / "forward")) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> dense_golden_models() {
  auto names = golden_models();
  std::erase_if(names, [](const std::string& name) { return GoldenModel(name).config.mixture.has_value(); });
  return names;
}

std::string name_of_golden(const ::testing::TestParamInfo<std::string>& golden) {
  std::string name = golden.param;
  std::ranges::replace(name, '-', '_');
  return name;
}

std::vector<float> logits_of(const GoldenModel& golden, const model::ForwardSettings& settings) {
  model::ForwardPass pass(*golden.model.weights, golden.config, golden.batch(), settings);
  const StopFlag never;
  pass.embed();
  for (std::uint32_t layer = 0; layer < golden.config.layers; ++layer) {
    pass.run_layer(pass.loader().layer(layer), layer, nullptr, never);
  }
  const auto weights = pass.loader().output();
  model::OutputHead head(golden.config, weights, settings.precision);
  std::vector<float> result;
  for (std::size_t window = 0; window < golden.batch().windows(); ++window) {
    for (const auto position : golden.golden.integers("positions")) {
      const auto logits = head.logits(pass.states(), window, static_cast<std::size_t>(position), 1);
      result.insert(result.end(), logits.begin(), logits.end());
    }
  }
  return result;
}

double relative_error(const std::vector<float>& expected, const std::vector<float>& actual) {
  if (expected.size() != actual.size()) throw std::runtime_error("sizes differ");
  double error = 0;
  double energy = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference = double{actual[i]} - double{expected[i]};
    error += difference * difference;
    energy += double{expected[i]} * double{expected[i]};
  }
  return std::sqrt(error / energy);
}

}  // namespace tessera::testing
