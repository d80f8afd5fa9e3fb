// Real files cut off at every byte and with random bytes changed: the readers throw or succeed, and never do
// worse (the sanitizer builds run this test too).
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "formats/byte_builder.h"
#include "foundation/base/error.h"
#include "foundation/formats/gguf/header.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#include "foundation/formats/safetensors/header.h"
#include "foundation/formats/safetensors/shard_index.h"

namespace tessera {
namespace {

using testing::Bytes;
using Reader = std::function<void(std::span<const std::byte>)>;

/// Positions beyond the header do not matter to a reader, so large files are sampled there.
constexpr std::size_t kDensePositions = 4096;
constexpr std::size_t kSampledPositions = 500;
constexpr int kRandomDamages = 5000;

struct Sample {
  std::filesystem::path path;
  Reader read;
};

std::string after_slash(const std::filesystem::path& path) {
  std::string name = path.filename().string();
  for (char& letter : name) letter = std::isalnum(static_cast<unsigned char>(letter)) ? letter : '_';
  return name;
}

void PrintTo(const Sample& sample, std::ostream* out) { *out << sample.path; }

/// Reads a copy that ends where its memory ends, so that the address sanitizer sees any step beyond it.
bool is_accepted(const Reader& read, std::span<const std::byte> bytes) {
  const Bytes exact(bytes.begin(), bytes.end());
  try {
    read(exact);
    return true;
  } catch (const BadFileError& error) {
    EXPECT_NE(std::string(error.what()).find("the file"), std::string::npos)
        << "the message does not name the file";
    return false;
  }
}

std::vector<Sample> samples() {
  const std::filesystem::path own = std::filesystem::path(TESSERA_TESTDATA) / "formats";
  const std::filesystem::path shared = std::filesystem::path(TESSERA_SHARED) / "formats/samples";
  const Reader gguf = [](auto bytes) { gguf::read_header(bytes, "the file"); };
  const Reader imatrix = [](auto bytes) { imatrix::parse_imatrix(bytes, "the file"); };
  const Reader safetensors = [](auto bytes) { safetensors::read_header(bytes, "the file"); };
  const Reader index = [](auto bytes) { safetensors::read_shard_index(bytes, "the file"); };
  return {{own / "every_value_type.gguf", gguf},
          {own / "split-00002-of-00002.gguf", gguf},
          {own / "imatrix.gguf", imatrix},
          {own / "imatrix-fisher.gguf", imatrix},
          {own / "imatrix.dat", imatrix},
          {own / "plain.safetensors", safetensors},
          {own / "float8.safetensors", safetensors},
          {own / "index.json", index},
          {shared / "mixed.gguf", gguf},
          {shared / "moe.imatrix.gguf", imatrix},
          {shared / "moe.imatrix.dat", imatrix}};
}

class Damage : public ::testing::TestWithParam<Sample> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(GetParam().path)) GTEST_SKIP() << "no " << GetParam().path;
    bytes_ = testing::read_file(GetParam().path);
    ASSERT_TRUE(is_accepted(GetParam().read, bytes_));
  }

  Bytes bytes_;
};

TEST_P(Damage, TruncationIsRefusedOrLeavesNothingMissing) {
  const std::size_t dense = std::min(bytes_.size(), kDensePositions);
  std::size_t accepted = 0;
  for (std::size_t size = 0; size < dense; ++size) {
    accepted += is_accepted(GetParam().read, std::span(bytes_).first(size));
  }
  for (std::size_t i = 0; i < kSampledPositions && dense < bytes_.size(); ++i) {
    const std::size_t size = dense + (bytes_.size() - dense) * i / kSampledPositions;
    accepted += is_accepted(GetParam().read, std::span(bytes_).first(size));
  }
  // What may be missing: the padding after the last tensor, and the optional fields of the legacy form.
  EXPECT_LE(accepted, 32u);
}

TEST_P(Damage, RandomBytesAreSurvived) {
  std::mt19937 random(20240607);
  const std::size_t reach = std::min(bytes_.size(), kDensePositions);
  int refused = 0;
  for (int i = 0; i < kRandomDamages; ++i) {
    Bytes damaged = bytes_;
    const std::size_t changes = 1 + random() % 4;
    for (std::size_t c = 0; c < changes; ++c) damaged[random() % reach] = static_cast<std::byte>(random());
    refused += !is_accepted(GetParam().read, damaged);
  }
  EXPECT_GT(refused, 0);
}

INSTANTIATE_TEST_SUITE_P(Samples, Damage, ::testing::ValuesIn(samples()),
                         [](const auto& parameter) { return after_slash(parameter.param.path); });

}  // namespace
}  // namespace tessera
