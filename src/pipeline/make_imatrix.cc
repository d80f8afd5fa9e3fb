#include "foundation/base/error.h"
#include "pipeline/imatrix.h"

namespace tessera::pipeline {

ImatrixReport make_imatrix(const ImatrixSettings& /*settings*/, ProgressObserver& /*progress*/,
                           const StopFlag& /*stop*/) {
  throw UsageError("this build cannot calibrate yet; it can show, compare and merge importance matrices");
}

}  // namespace tessera::pipeline
