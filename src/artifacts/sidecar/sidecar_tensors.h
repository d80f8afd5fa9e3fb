// The keys and tensors of a sidecar's file, which sidecar.h lays out.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "artifacts/sidecar.h"
#include "foundation/formats/gguf/metadata.h"
#include "foundation/tensor/tensor_descriptor.h"

namespace tessera::sidecar {

inline constexpr std::string_view kVersionKey = "tessera.sidecar.version";
inline constexpr std::string_view kBaseHashKey = "tessera.sidecar.base_hash";
inline constexpr std::string_view kTensorsKey = "tessera.sidecar.tensors";
inline constexpr std::string_view kTensorKey = "tessera.sidecar.tensor";
inline constexpr std::string_view kRowKey = "tessera.sidecar.row";
inline constexpr std::string_view kColumnKey = "tessera.sidecar.column";
inline constexpr std::string_view kValueKey = "tessera.sidecar.value";
inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::size_t kHashDigits = 32;

gguf::Metadata metadata_of(const Sidecar& sidecar);

/// NAME.lora_a and NAME.lora_b.
std::array<TensorDescriptor, 2> pair_of(const SidecarTensor& tensor);

/// Their values, as F16.
std::array<std::vector<std::uint16_t>, 2> halves_of(const SidecarTensor& tensor);

}  // namespace tessera::sidecar
