#include "service/router.h"

#include <google/protobuf/descriptor.h>

#include <set>

namespace minnow::service {

using google::protobuf::DescriptorPool;

void Router::Insert(const std::string& service, const std::string& method, Method m) {
  const auto* descriptor =
      DescriptorPool::generated_pool()->FindMethodByName(service + "." + method);
  const bool fits = descriptor && descriptor->input_type() == m.prototype->GetDescriptor() &&
                    descriptor->client_streaming() == (m.many != nullptr);
  if (!fits && wrong_.ok()) {
    wrong_ = Error(Code::kInternal, "the handler of {}.{} fits no such method", service, method);
  }
  methods_["/" + service + "/" + method] = std::move(m);
}

const Method* Router::Find(std::string_view path) const {
  const auto it = methods_.find(path);
  return it == methods_.end() ? nullptr : &it->second;
}

std::vector<std::string> Router::services() const {
  std::set<std::string> names;
  for (const auto& [path, method] : methods_) names.insert(path.substr(1, path.rfind('/') - 1));
  return {names.begin(), names.end()};
}

Status Router::CheckComplete() const {
  MNW_TRY(wrong_);
  for (const std::string& name : services()) {
    const auto* service = DescriptorPool::generated_pool()->FindServiceByName(name);
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string path = "/" + name + "/" + service->method(i)->name();
      if (!Find(path)) return Error(Code::kInternal, "{} has no handler", path);
    }
  }
  return Status();
}

}  // namespace minnow::service
