# Compiler settings shared by every target: C++20, warnings as errors, SIMD targets, sanitizers.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(TESSERA_CCACHE ccache)
if(TESSERA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${TESSERA_CCACHE})
endif()

set(TESSERA_SANITIZE "" CACHE STRING "Sanitizers to build with, e.g. address,undefined")

add_library(tessera_options INTERFACE)
target_compile_options(tessera_options INTERFACE -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wno-sign-conversion)
# GCC 12 and 13 see overlapping copies inside std::string operator+ that cannot happen (GCC bug 105651); under the
# sanitizers GCC also takes members of std::regex for uninitialized (bug 105562).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(tessera_options INTERFACE -Wno-restrict $<$<BOOL:${TESSERA_SANITIZE}>:-Wno-maybe-uninitialized>)
endif()
# Block arithmetic must round the same in the scalar and the SIMD paths: no contraction behind our back.
target_compile_options(tessera_options INTERFACE -ffp-contract=off)
if(TESSERA_NATIVE_SIMD)
  target_compile_options(tessera_options INTERFACE -march=native)
  target_compile_definitions(tessera_options INTERFACE HWY_COMPILE_ONLY_STATIC)
else()
  # Scalar (emulated), AVX2 and AVX-512 on x86; every attainable target elsewhere.
  target_compile_definitions(tessera_options INTERFACE HWY_COMPILE_ALL_ATTAINABLE
    "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4)")
endif()
if(TESSERA_SANITIZE)
  target_compile_options(tessera_options INTERFACE -fsanitize=${TESSERA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(tessera_options INTERFACE -fsanitize=${TESSERA_SANITIZE})
endif()
