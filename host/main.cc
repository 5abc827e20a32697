#include "cli/cli.h"

int main(int argc, char** argv) { return minnow::cli::Main(argc, argv); }
