// How the importance of a column was measured.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace tessera::imatrix {

/// What was summed over the tokens x_t that enter a linear with weights w, per column c. With g = dL/dw, L
/// the negative log-likelihood of the next token in nats:
enum class ImportanceMethod {
  activation,  ///< x_tc^2: what llama.cpp's importance matrices hold
  gradient,    ///< sum over rows r of |g_rc * w_rc|
  fisher,      ///< sum over rows r of g_rc^2: the diagonal of the empirical Fisher matrix
};

inline constexpr std::array kAllImportanceMethods = {ImportanceMethod::activation, ImportanceMethod::gradient,
                                                     ImportanceMethod::fisher};

/// "activation", "gradient", "fisher".
std::string_view name_of(ImportanceMethod method);

/// The method of this name (exactly as name_of spells it), or empty.
std::optional<ImportanceMethod> importance_method_from_name(std::string_view name);

}  // namespace tessera::imatrix
