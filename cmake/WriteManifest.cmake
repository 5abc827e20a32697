# SPDX-License-Identifier: MIT
# cmake -D library= -D manifest= -D id= -D kind= -D cpu_features=a;b -D os= -D arch= -D includes= -P WriteManifest.cmake
# The ABI is that of the headers the library was built with, which lie below one of `includes`.
find_file(abi_header minnow/abi/base.h PATHS ${includes} NO_DEFAULT_PATH NO_CACHE REQUIRED)
file(STRINGS ${abi_header} lines REGEX "^#define MNW_ABI_(MAJOR|MINOR) ")
string(REGEX MATCH "MAJOR ([0-9]+)u.*MINOR ([0-9]+)u" found "${lines}")
if(NOT found)
  message(FATAL_ERROR "no ABI version in ${abi_header}")
endif()
set(abi ${CMAKE_MATCH_1}.${CMAKE_MATCH_2})

file(SHA256 ${library} sha256)
string(TOLOWER "${os}" os)
set(features "")
foreach(name ${cpu_features})
  list(APPEND features "\"${name}\"")
endforeach()
list(JOIN features ", " features)
file(WRITE ${manifest} "{
  \"id\": \"${id}\",
  \"kind\": \"${kind}\",
  \"abi\": \"${abi}\",
  \"os\": \"${os}\",
  \"arch\": \"${arch}\",
  \"cpu_features\": [${features}],
  \"sha256\": \"${sha256}\"
}
")
