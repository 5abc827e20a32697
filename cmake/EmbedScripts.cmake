# embed_scripts(<target> <folder>): the Lua files below the folder become EmbeddedScripts() of
# host/script/program.h, so that the standard library needs no install path. Stubs (.d.lua) are left out.
#
# As a script (cmake -D folder= -D output= -P): writes that source file.
if(CMAKE_SCRIPT_MODE_FILE)
  file(GLOB_RECURSE files RELATIVE ${folder} ${folder}/*.lua)
  list(FILTER files EXCLUDE REGEX "\\.d\\.lua$")
  set(entries "")
  foreach(file ${files})
    file(READ ${folder}/${file} source)
    string(REGEX REPLACE "(/init)?\\.lua$" "" module ${file})
    string(REPLACE "/" "." module ${module})
    string(APPEND entries "    {\"${module}\", R\"=lua=(${source})=lua=\"},\n")
  endforeach()
  file(WRITE ${output} "// Written by cmake/EmbedScripts.cmake.
#include \"script/program.h\"

namespace minnow::script {

std::span<const EmbeddedScript> EmbeddedScripts() {
  static constexpr EmbeddedScript kScripts[] = {
${entries}  };
  return kScripts;
}

}  // namespace minnow::script
")
  return()
endif()

set(MINNOW_EMBED_SCRIPTS ${CMAKE_CURRENT_LIST_FILE})

function(embed_scripts target folder)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${folder}/*.lua)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/embedded_scripts.cc)
  add_custom_command(OUTPUT ${output} VERBATIM
    COMMAND ${CMAKE_COMMAND} -D folder=${folder} -D output=${output} -P ${MINNOW_EMBED_SCRIPTS}
    DEPENDS ${files} ${MINNOW_EMBED_SCRIPTS})
  target_sources(${target} PRIVATE ${output})
endfunction()
