// How the importance of a column was measured.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace tessera::imatrix {

/// What was summed, per column c of a weight W whose inputs are x and for whose outputs y the loss (negative
/// log-likelihood of the next token in nats, summed over a window) has the gradient g = dL/dy:
enum class ImportanceMethod {
  activation,  ///< over tokens t: x_tc^2, which is what llama.cpp's importance matrices hold
  gradient,  ///< over windows: sum over rows r of |G_rc W_rc|, G = sum over the window's tokens of g_t x_t^T
  fisher,    ///< over tokens t: sum over rows r of (g_tr x_tc)^2, the diagonal of the empirical Fisher matrix
};

inline constexpr std::array kAllImportanceMethods = {ImportanceMethod::activation, ImportanceMethod::gradient,
                                                     ImportanceMethod::fisher};

/// "activation", "gradient", "fisher".
std::string_view name_of(ImportanceMethod method);

/// The method of this name (exactly as name_of spells it), or empty.
std::optional<ImportanceMethod> importance_method_from_name(std::string_view name);

}  // namespace tessera::imatrix
