// A damaged file built by hand, and what the error about it must say.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "formats/byte_builder.h"
#include "foundation/base/error.h"

namespace tessera::testing {

struct HostileCase {
  std::string name;  ///< CamelCase; the test's name
  Bytes bytes;
  /// Fragments of the message, e.g. the tensor or key and what is wrong with it.
  std::vector<std::string> says;
  /// The byte the message must name; empty when the fault has no single place.
  std::optional<std::uint64_t> offset = std::nullopt;
};

inline void PrintTo(const HostileCase& value, std::ostream* out) { *out << value.name; }

inline std::string case_name(const ::testing::TestParamInfo<HostileCase>& parameter) {
  return parameter.param.name;
}

/// Expects a BadFileError about `file` that says what `expected` says.
inline void expect_refused(const std::function<void()>& read, const std::string& file,
                           const HostileCase& expected) {
  try {
    read();
    ADD_FAILURE() << expected.name << " was accepted";
  } catch (const BadFileError& error) {
    const std::string message = error.what();
    EXPECT_THAT(message, ::testing::HasSubstr(file));
    for (const auto& fragment : expected.says) EXPECT_THAT(message, ::testing::HasSubstr(fragment));
    if (!expected.offset) return;
    EXPECT_THAT(message, ::testing::HasSubstr("at byte " + std::to_string(*expected.offset) + ":"));
  }
}

}  // namespace tessera::testing
