#include "command.h"

namespace tessera::cli {

void add_inspect(CLI::App&) {}

}  // namespace tessera::cli
