#include "foundation/formats/imatrix/importance_method.h"

namespace tessera::imatrix {

std::string_view name_of(ImportanceMethod method) {
  switch (method) {
    case ImportanceMethod::activation:
      return "activation";
    case ImportanceMethod::gradient:
      return "gradient";
    case ImportanceMethod::fisher:
      return "fisher";
  }
  return "unknown";
}

std::optional<ImportanceMethod> importance_method_from_name(std::string_view name) {
  for (const auto method : kAllImportanceMethods) {
    if (name == name_of(method)) return method;
  }
  return std::nullopt;
}

}  // namespace tessera::imatrix
