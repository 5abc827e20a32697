# gRPC and the code made from proto/. The distribution's gRPC is old (see docs/service.md); a
# newer one is taken where CMAKE_PREFIX_PATH or MINNOW_GRPC points, since its package is looked for
# first, and with it the protobuf that it was built with.
set(MINNOW_GRPC "" CACHE PATH "Prefix of a gRPC to use instead of the distribution's")
if(MINNOW_GRPC)
  # Said here: without it, the distribution's would be taken in silence.
  find_file(MINNOW_GRPC_CONFIG gRPCConfig.cmake NO_CACHE NO_DEFAULT_PATH PATHS ${MINNOW_GRPC}
    PATH_SUFFIXES lib/cmake/grpc lib64/cmake/grpc lib/${CMAKE_LIBRARY_ARCHITECTURE}/cmake/grpc)
  if(NOT MINNOW_GRPC_CONFIG)
    message(FATAL_ERROR "MINNOW_GRPC is '${MINNOW_GRPC}', and there is no lib/cmake/grpc/gRPCConfig.cmake in it. "
      "Give the prefix that gRPC was installed with, or leave MINNOW_GRPC empty for the distribution's.")
  endif()
  list(PREPEND CMAKE_PREFIX_PATH ${MINNOW_GRPC})
  get_filename_component(gRPC_DIR ${MINNOW_GRPC_CONFIG} DIRECTORY)
endif()
find_package(Protobuf CONFIG QUIET)
if(NOT Protobuf_FOUND)
  find_package(Protobuf REQUIRED)
endif()
find_package(gRPC CONFIG REQUIRED)

# minnow_proto: the messages. minnow_grpc_stubs: the clients' side, for tests and benchmarks.
set(proto_root ${PROJECT_SOURCE_DIR}/proto)
set(proto_out ${CMAKE_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${proto_out})
function(minnow_protos target)
  cmake_parse_arguments(arg "GRPC" "" "FILES" ${ARGN})
  set(sources)
  foreach(file ${arg_FILES})
    if(arg_GRPC)
      set(outputs ${proto_out}/${file}.grpc.pb.h ${proto_out}/${file}.grpc.pb.cc)
      set(how --grpc_out=${proto_out} --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>)
    else()
      set(outputs ${proto_out}/${file}.pb.h ${proto_out}/${file}.pb.cc)
      set(how --cpp_out=${proto_out})
    endif()
    add_custom_command(OUTPUT ${outputs}
      COMMAND protobuf::protoc -I ${proto_root} ${how} ${proto_root}/${file}.proto
      DEPENDS ${proto_root}/${file}.proto VERBATIM)
    list(APPEND sources ${outputs})
  endforeach()
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} SYSTEM PUBLIC ${proto_out})
  target_compile_options(${target} PRIVATE -w)
endfunction()

set(services minnow/v1/inference minnow/v1/models minnow/v1/pipelines grpc/health/v1/health
  grpc/reflection/v1/reflection)
minnow_protos(minnow_proto FILES ${services} minnow/v1/limits minnow/v1/common
  grpc/reflection/v1alpha/reflection google/rpc/status google/rpc/error_details)
target_link_libraries(minnow_proto PUBLIC protobuf::libprotobuf)
if(MINNOW_TESTS OR MINNOW_BENCHMARKS)
  minnow_protos(minnow_grpc_stubs GRPC FILES ${services})
  target_link_libraries(minnow_grpc_stubs PUBLIC minnow_proto gRPC::grpc++)
endif()
