#include "foundation/tensor/element_type.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cctype>

namespace tessera {
namespace {

using enum ElementType;
constexpr auto kNone = ImportanceDemand::none;
constexpr auto kRequired = ImportanceDemand::required;

// clang-format off
constexpr std::array kTypes{
    ElementTypeInfo{F32, "F32", 1, 4, false, kNone, {}},
    ElementTypeInfo{F16, "F16", 1, 2, false, kNone, {}},
    ElementTypeInfo{Q4_0, "Q4_0", 32, 18, true, kNone, F16},
    ElementTypeInfo{Q4_1, "Q4_1", 32, 20, true, kNone, F16},
    ElementTypeInfo{Q5_0, "Q5_0", 32, 22, true, kNone, F16},
    ElementTypeInfo{Q5_1, "Q5_1", 32, 24, true, kNone, F16},
    ElementTypeInfo{Q8_0, "Q8_0", 32, 34, true, kNone, F16},
    ElementTypeInfo{Q2_K, "Q2_K", 256, 84, true, kNone, Q4_0},
    ElementTypeInfo{Q3_K, "Q3_K", 256, 110, true, kNone, Q4_0},
    ElementTypeInfo{Q4_K, "Q4_K", 256, 144, true, kNone, Q5_0},
    ElementTypeInfo{Q5_K, "Q5_K", 256, 176, true, kNone, Q5_1},
    ElementTypeInfo{Q6_K, "Q6_K", 256, 210, true, kNone, Q8_0},
    ElementTypeInfo{IQ2_XXS, "IQ2_XXS", 256, 66, true, kRequired, IQ4_NL},
    ElementTypeInfo{IQ2_XS, "IQ2_XS", 256, 74, true, kRequired, IQ4_NL},
    ElementTypeInfo{IQ3_XXS, "IQ3_XXS", 256, 98, true, kRequired, IQ4_NL},
    ElementTypeInfo{IQ1_S, "IQ1_S", 256, 50, true, kRequired, IQ4_NL},
    ElementTypeInfo{IQ4_NL, "IQ4_NL", 32, 18, true, kNone, F16},
    ElementTypeInfo{IQ3_S, "IQ3_S", 256, 110, true, kNone, IQ4_NL},
    ElementTypeInfo{IQ2_S, "IQ2_S", 256, 82, true, kRequired, IQ4_NL},
    ElementTypeInfo{IQ4_XS, "IQ4_XS", 256, 136, true, kNone, IQ4_NL},
    ElementTypeInfo{I8, "I8", 1, 1, false, kNone, {}},
    ElementTypeInfo{I16, "I16", 1, 2, false, kNone, {}},
    ElementTypeInfo{I32, "I32", 1, 4, false, kNone, {}},
    ElementTypeInfo{I64, "I64", 1, 8, false, kNone, {}},
    ElementTypeInfo{F64, "F64", 1, 8, false, kNone, {}},
    ElementTypeInfo{IQ1_M, "IQ1_M", 256, 56, true, kRequired, IQ4_NL},
    ElementTypeInfo{BF16, "BF16", 1, 2, false, kNone, {}},
    ElementTypeInfo{TQ1_0, "TQ1_0", 256, 54, true, kNone, Q4_0},
    ElementTypeInfo{TQ2_0, "TQ2_0", 256, 66, true, kNone, Q4_0},
    ElementTypeInfo{MXFP4, "MXFP4", 32, 17, true, kNone, F16},
    ElementTypeInfo{NVFP4, "NVFP4", 64, 36, true, kNone, {}},
    ElementTypeInfo{Q1_0, "Q1_0", 128, 18, true, kNone, {}},
    ElementTypeInfo{Q2_0, "Q2_0", 64, 18, true, kNone, Q4_0},
};
// clang-format on

bool same_ignoring_case(std::string_view left, std::string_view right) {
  return std::ranges::equal(
      left, right, [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

}  // namespace

std::span<const ElementTypeInfo> all_element_types() { return kTypes; }

const ElementTypeInfo& info(ElementType type) {
  const auto found = std::ranges::find(kTypes, type, &ElementTypeInfo::type);
  assert(found != kTypes.end());
  return *found;
}

std::optional<ElementType> element_type_from_id(std::uint32_t id) {
  const auto found = std::ranges::find(kTypes, static_cast<ElementType>(id), &ElementTypeInfo::type);
  if (found == kTypes.end()) return std::nullopt;
  return found->type;
}

std::optional<ElementType> element_type_from_name(std::string_view name) {
  for (const auto& row : kTypes) {
    if (same_ignoring_case(row.name, name)) return row.type;
  }
  return std::nullopt;
}

bool is_weight_type(ElementType type) {
  return info(type).quantized || type == F32 || type == F16 || type == BF16;
}

std::uint64_t row_bytes(ElementType type, std::uint64_t columns) {
  const auto& row = info(type);
  assert(columns % row.block_weights == 0);
  return columns / row.block_weights * row.block_bytes;
}

}  // namespace tessera
