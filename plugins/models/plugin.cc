// The plugin "minnow.models": a new architecture is its file, a line in models.h and one here.
#include <minnow/abi/plugin.h>

#include <iterator>

#include "models.h"

namespace minnow::models {
namespace {

const mnw_arch* const kArchs[] = {
    &kLlama, &kQwen2, &kPhi3, &kGemma2, &kMamba2, &kBert,
};
const mnw_arch_list kList = {sizeof kList, std::size(kArchs), kArchs};

const mnw_arch_list* Archs(uint32_t) { return &kList; }

const mnw_plugin kPlugin = {
    .size = sizeof kPlugin,
    .abi_major = MNW_ABI_MAJOR,
    .abi_minor = MNW_ABI_MINOR,
    .id = "minnow.models",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .backend = nullptr,
    .archs = &Archs,
};

}  // namespace
}  // namespace minnow::models

extern "C" MNW_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return &minnow::models::kPlugin; }
