// minnow-script: the process in which an untrusted script runs, see script/child.h.
#include "script/child.h"

int main(int argc, char** argv) { return minnow::script::ServeHost(argc, argv); }
