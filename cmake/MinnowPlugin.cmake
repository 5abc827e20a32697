# SPDX-License-Identifier: MIT
# minnow_plugin(<target> KIND backend|models ID <id> [CPU_FEATURES <name>...] SOURCES <file>...)
#
# <target>.so in plugins/ of the build tree, with its manifest <target>.minnow.json beside it, and
# <target>_objects, the same code as a static library for unit tests: compile options, definitions and
# libraries of the plugin's own are given to that one. The plugin sees the contract's headers
# (Minnow::sdk) and nothing else of the host, shows one symbol, and leaves none undefined.
#
# `cmake --install` puts both files where a minnow of the same prefix looks for plugins. A build tree's
# plugins/ may be named to minnow as it is: minnow plugins --why --plugin-dir $PWD/build/plugins
include(GNUInstallDirs)
set(MINNOW_PLUGIN_FOLDER ${CMAKE_CURRENT_LIST_DIR})

function(minnow_plugin target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "KIND;ID" "CPU_FEATURES;SOURCES")
  foreach(required KIND ID SOURCES)
    if(NOT arg_${required})
      message(FATAL_ERROR "minnow_plugin(${target}): ${required} is missing")
    endif()
  endforeach()
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "minnow_plugin(${target}): unknown: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_KIND MATCHES "^(backend|models)$")
    message(FATAL_ERROR "minnow_plugin(${target}): KIND is '${arg_KIND}', must be backend or models")
  endif()

  add_library(${target}_objects STATIC ${arg_SOURCES})
  target_link_libraries(${target}_objects PUBLIC Minnow::sdk)
  target_include_directories(${target}_objects PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  set_target_properties(${target}_objects PROPERTIES
    POSITION_INDEPENDENT_CODE ON C_STANDARD 11 C_STANDARD_REQUIRED ON
    CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON
    C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)

  # With C++ sources the linker brings C++'s library; a project of C alone needs none.
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  set(linker_language C)
  if("CXX" IN_LIST languages)
    set(linker_language CXX)
  endif()
  set(folder ${CMAKE_BINARY_DIR}/plugins)
  set(map ${MINNOW_PLUGIN_FOLDER}/plugin.map)
  add_library(${target} MODULE $<TARGET_OBJECTS:${target}_objects>)
  set_target_properties(${target} PROPERTIES
    PREFIX "" LINKER_LANGUAGE ${linker_language} LINK_DEPENDS ${map}
    LIBRARY_OUTPUT_DIRECTORY ${folder})
  target_link_libraries(${target} PRIVATE
    $<FILTER:$<TARGET_PROPERTY:${target}_objects,LINK_LIBRARIES>,EXCLUDE,^Minnow::sdk$>)
  target_link_options(${target} PRIVATE
    LINKER:--exclude-libs,ALL LINKER:--version-script=${map})
  if(NOT MINNOW_FUZZ)  # clang leaves its sanitizers' symbols to the program that loads the library
    target_link_options(${target} PRIVATE LINKER:-z,defs)
  endif()

  # Tells the loader that group-writable files are a developer's umask here, not an accident.
  file(WRITE ${folder}/.minnow-build-tree "")

  # The checksum is of the finished file, so installing must not touch it: FILES, never TARGETS.
  set(manifest ${folder}/${target}.minnow.json)
  add_custom_command(TARGET ${target} POST_BUILD VERBATIM
    COMMAND ${CMAKE_COMMAND} -D library=$<TARGET_FILE:${target}> -D manifest=${manifest}
            -D id=${arg_ID} -D kind=${arg_KIND} -D "cpu_features=${arg_CPU_FEATURES}"
            -D os=${CMAKE_SYSTEM_NAME} -D arch=${CMAKE_SYSTEM_PROCESSOR}
            -D "includes=$<TARGET_PROPERTY:Minnow::sdk,INTERFACE_INCLUDE_DIRECTORIES>"
            -P ${MINNOW_PLUGIN_FOLDER}/WriteManifest.cmake)
  install(FILES $<TARGET_FILE:${target}> ${manifest}
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/minnow/plugins COMPONENT runtime)
endfunction()
