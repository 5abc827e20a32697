# minnow_plugin(<target> KIND backend|models ID <id> [CPU_FEATURES <name>...] SOURCES <file>...)
#
# <target>.so in the build tree's plugins/, with its manifest <target>.minnow.json beside it, and
# <target>_objects, the same code as a static library for unit tests. The plugin sees the contract's
# headers and nothing else of the host, shows one symbol, and leaves none undefined.
set(MINNOW_PLUGIN_FOLDER ${CMAKE_CURRENT_LIST_DIR})

function(minnow_plugin target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "KIND;ID" "CPU_FEATURES;SOURCES")
  foreach(required KIND ID SOURCES)
    if(NOT arg_${required})
      message(FATAL_ERROR "minnow_plugin(${target}): ${required} is missing")
    endif()
  endforeach()

  add_library(${target}_objects STATIC ${arg_SOURCES})
  target_link_libraries(${target}_objects PUBLIC minnow_abi)
  target_include_directories(${target}_objects PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  set_target_properties(${target}_objects PROPERTIES
    C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)

  set(map ${MINNOW_PLUGIN_FOLDER}/plugin.map)
  add_library(${target} MODULE $<TARGET_OBJECTS:${target}_objects>)
  set_target_properties(${target} PROPERTIES
    PREFIX "" LINKER_LANGUAGE CXX LINK_DEPENDS ${map}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/plugins)
  target_link_options(${target} PRIVATE
    LINKER:-z,defs LINKER:--exclude-libs,ALL LINKER:--version-script=${map})

  # The checksum is of the finished file, so installing must not touch it: FILES, never TARGETS.
  set(manifest ${CMAKE_BINARY_DIR}/plugins/${target}.minnow.json)
  add_custom_command(TARGET ${target} POST_BUILD VERBATIM
    COMMAND ${CMAKE_COMMAND} -D library=$<TARGET_FILE:${target}> -D manifest=${manifest}
            -D id=${arg_ID} -D kind=${arg_KIND} -D "cpu_features=${arg_CPU_FEATURES}"
            -D os=${CMAKE_SYSTEM_NAME} -D arch=${CMAKE_SYSTEM_PROCESSOR}
            -P ${MINNOW_PLUGIN_FOLDER}/WriteManifest.cmake)
  install(FILES $<TARGET_FILE:${target}> ${manifest} DESTINATION lib/minnow/plugins)
endfunction()
