// grpc.reflection: what the server offers, for tools such as grpcurl.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <set>

#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "service/errors.h"
#include "service/services.h"

namespace minnow::service {

namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

// Both versions have the same messages under two names.
template <class Request, class Response>
class Reflection final : public Requests {
 public:
  Reflection(CallPtr call, std::vector<std::string> services)
      : call_(std::move(call)), services_(std::move(services)) {}

  void OnMessage(const google::protobuf::Message& message) override {
    const auto& request = static_cast<const Request&>(message);
    Response response;
    response.set_valid_host(request.host());
    *response.mutable_original_request() = request;
    Answer(request, response);
    // The next request is read when this answer is on its way.
    call_->Send(response, [call = call_] { call->ReadNext(); });
  }

  void OnHalfClose() override { call_->Finish({}); }

 private:
  void Answer(const Request& request, Response& response) {
    const DescriptorPool& pool = *DescriptorPool::generated_pool();
    switch (request.message_request_case()) {
      case Request::kListServices:
        for (const std::string& name : services_) {
          response.mutable_list_services_response()->add_service()->set_name(name);
        }
        return;
      case Request::kFileByFilename:
        return AddFile(pool.FindFileByName(request.file_by_filename()), response);
      case Request::kFileContainingSymbol:
        return AddFile(pool.FindFileContainingSymbol(request.file_containing_symbol()), response);
      case Request::kFileContainingExtension: {
        const auto& wanted = request.file_containing_extension();
        const auto* type = pool.FindMessageTypeByName(wanted.containing_type());
        const auto* extension =
            type ? pool.FindExtensionByNumber(type, wanted.extension_number()) : nullptr;
        return AddFile(extension ? extension->file() : nullptr, response);
      }
      case Request::kAllExtensionNumbersOfType: {
        const auto* type = pool.FindMessageTypeByName(request.all_extension_numbers_of_type());
        if (type == nullptr) return AddFile(nullptr, response);
        std::vector<const google::protobuf::FieldDescriptor*> extensions;
        pool.FindAllExtensions(type, &extensions);
        auto* out = response.mutable_all_extension_numbers_response();
        out->set_base_type_name(request.all_extension_numbers_of_type());
        for (const auto* extension : extensions) out->add_extension_number(extension->number());
        return;
      }
      default:
        return SetError(Code::kInvalid, "nothing is asked", response);
    }
  }

  static void SetError(Code code, const char* message, Response& response) {
    response.mutable_error_response()->set_error_code(static_cast<int>(code));
    response.mutable_error_response()->set_error_message(message);
  }

  // The file, after those that it imports.
  static void AddFile(const FileDescriptor* file, Response& response) {
    if (file == nullptr) return SetError(Code::kNotFound, "not found", response);
    std::set<const FileDescriptor*> added;
    AddWithImports(*file, added, response);
  }

  static void AddWithImports(const FileDescriptor& file, std::set<const FileDescriptor*>& added,
                             Response& response) {
    if (!added.insert(&file).second) return;
    for (int i = 0; i < file.dependency_count(); ++i) {
      AddWithImports(*file.dependency(i), added, response);
    }
    google::protobuf::FileDescriptorProto proto;
    file.CopyTo(&proto);
    response.mutable_file_descriptor_response()->add_file_descriptor_proto(
        proto.SerializeAsString());
  }

  const CallPtr call_;
  const std::vector<std::string> services_;
};

template <class Request, class Response>
void AddVersion(Router& router, const std::string& package,
                const std::vector<std::string>& services) {
  router.AddStream<Request>(package + ".ServerReflection", "ServerReflectionInfo", Kind::kAdmin,
                            [services](const CallPtr& call) {
                              return std::make_shared<Reflection<Request, Response>>(call,
                                                                                     services);
                            });
}

}  // namespace

void AddReflection(Router& router) {
  namespace v1 = grpc::reflection::v1;
  namespace v1alpha = grpc::reflection::v1alpha;
  const std::vector<std::string> services = router.services();
  AddVersion<v1::ServerReflectionRequest, v1::ServerReflectionResponse>(
      router, "grpc.reflection.v1", services);
  AddVersion<v1alpha::ServerReflectionRequest, v1alpha::ServerReflectionResponse>(
      router, "grpc.reflection.v1alpha", services);
}

}  // namespace minnow::service
