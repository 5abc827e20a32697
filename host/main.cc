#include "base/mapping_fault.h"
#include "cli/cli.h"

int main(int argc, char** argv) {
  minnow::ExitOnMappingFault();
  return minnow::cli::Main(argc, argv);
}
