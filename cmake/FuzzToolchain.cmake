# Clang, whose libFuzzer the preset `fuzz` is made of.
find_program(MINNOW_CLANG NAMES clang++ clang++-19 clang++-16 clang++-14)
find_program(MINNOW_CLANG_C NAMES clang clang-19 clang-16 clang-14)
if(NOT MINNOW_CLANG OR NOT MINNOW_CLANG_C)
  message(FATAL_ERROR
    "The preset 'fuzz' needs clang with libFuzzer (Debian and Ubuntu: apt-get install clang). "
    "Without it, every other preset replays the corpora: ctest --preset dev -R fuzz")
endif()
set(CMAKE_C_COMPILER ${MINNOW_CLANG_C})
set(CMAKE_CXX_COMPILER ${MINNOW_CLANG})
