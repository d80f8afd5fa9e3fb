#include "artifacts/provenance.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

const std::vector<ProvenanceFile> kFiles = {
    {"model", "/home/someone/models/model-f16.gguf", 12345, "0123456789abcdef0123456789abcdef"},
    {"calibration text", "texts/books.txt", 678, "fedcba9876543210fedcba9876543210"},
};

TEST(Provenance, HasPathsAsGivenInReports) {
  const auto json = to_json(kFiles, PathForm::as_given);
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0].at("path"), "/home/someone/models/model-f16.gguf");
  EXPECT_EQ(json[1].at("path"), "texts/books.txt");
  EXPECT_EQ(json[1].at("purpose"), "calibration text");
  EXPECT_EQ(json[1].at("bytes"), 678);
  EXPECT_EQ(json[1].at("xxh128"), "fedcba9876543210fedcba9876543210");
}

TEST(Provenance, HasNamesAloneInPublishedFiles) {
  const auto json = to_json(kFiles, PathForm::name_only);
  EXPECT_EQ(json[0].at("path"), "model-f16.gguf");
  EXPECT_EQ(json[1].at("path"), "books.txt");
  EXPECT_EQ(json.dump().find("someone"), std::string::npos);
}

TEST(Provenance, OfNoFilesIsAnEmptyList) { EXPECT_EQ(to_json({}, PathForm::as_given).dump(), "[]"); }

}  // namespace
}  // namespace tessera
