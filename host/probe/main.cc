// minnow-probe LIBRARY: opens an untried plugin library and reports on stdout, see plugins/probe.h.
#include "plugins/probe.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  minnow::plugins::AnswerProbe(argv[1]);
}
