// What an answer depends on besides its prompt, in one short text that goes with it.
//
// "3f0c5a9be6a1d2c4-9b1e22f0". The first part, the identity, is of what answers: the bytes of the
// model's files and of its adapter's, the build, the devices with their ISA levels and which node
// runs where, the type of the cache. The second, of generated answers, is of how: sampling, budget
// and stop strings. On devices of level B the same prompt with the same fingerprint has the same
// answer, to the bit. Threads: pure.
#pragma once

#include <string>

#include "engine/request.h"
#include "model/instance.h"

namespace minnow::engine {

// `model_hash`: of the files' bytes. `devices`: as they were asked for, "cpu:isa=avx2".
std::string Identity(const model::Instance& instance, const std::string& model_hash,
                     const std::vector<std::string>& devices);
// The same through an adapter.
std::string AdapterIdentity(const std::string& base, const std::string& adapter_hash, float scale);

// Empty if the identity is, which nobody has asked for then.
std::string Fingerprint(const std::string& identity, const GenerateRequest& request);

}  // namespace minnow::engine
