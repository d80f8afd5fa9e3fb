// Which types can be chosen for a tensor at all.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "foundation/tensor/element_type.h"
#include "foundation/tensor/tensor_descriptor.h"

namespace tessera {

/// Those of `wanted` that the tensor can take, in order of bits per weight, no type twice: one whose blocks
/// do not fit the rows is replaced by its fallback (shared/formats/BLOCKS.md section 3) where that fits, and
/// left out where not; one that is unusable without importance is left out when there is none.
std::vector<ElementType> candidate_types(std::span<const ElementType> wanted, const TensorDescriptor& tensor,
                                         bool has_importance);

/// The same for a type that a rule pins: empty when the tensor cannot take it.
std::optional<ElementType> usable_type(ElementType wanted, const TensorDescriptor& tensor,
                                       bool has_importance);

}  // namespace tessera
