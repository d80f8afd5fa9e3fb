#include "command.h"

namespace tessera::cli {

void add_quantize(CLI::App&) {}

}  // namespace tessera::cli
