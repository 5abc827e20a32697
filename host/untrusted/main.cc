// minnow-script: the process in which an untrusted script runs, see script/child.h.
#include "script/child.h"
#include "script/http_client.h"

namespace minnow::script {

// In the place of http_client.cc: libcurl brings thirty libraries that take time to load.
std::unique_ptr<HttpClient> MakeHttpClient(const Grants&) { return nullptr; }

}  // namespace minnow::script

int main(int argc, char** argv) { return minnow::script::ServeHost(argc, argv); }
