// The header of a safetensors file. Tensors that are accepted lie inside the file, one after
// another, and hold as many bytes as they say.
#include <cstdlib>

#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(data), size);
  const auto tensors = minnow::formats::SafetensorsReader::Parse(file);
  if (!tensors.ok()) {
    if (tensors.status().message().empty()) std::abort();  // a refusal says why
    return 0;
  }
  const std::byte* end = file.data();
  for (const auto& tensor : *tensors) {
    if (tensor.data.data() < end) std::abort();
    end = tensor.data.data() + tensor.data.size();
    if (end > file.data() + file.size()) std::abort();
  }
  return 0;
}
