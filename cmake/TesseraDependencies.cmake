# Every third-party package; docs/dependencies.md gives the reason for each.
find_package(OpenMP REQUIRED)
find_package(hwy REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
if(NOT TARGET yaml-cpp::yaml-cpp)  # before 0.8 the target had no namespace
  add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
endif()
find_package(CLI11 REQUIRED)
include(TesseraProtobuf)

# Debian's CMake package of oneDNN asks for OpenCL's development files, which nothing here needs; PCRE2 and xxHash come
# without one.
find_path(DNNL_INCLUDE_DIR dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(tessera_dnnl INTERFACE)
target_include_directories(tessera_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(tessera_dnnl INTERFACE ${DNNL_LIBRARY})
find_package(Eigen3 REQUIRED NO_MODULE)
find_path(PCRE2_INCLUDE_DIR pcre2.h REQUIRED)
find_library(PCRE2_32_LIBRARY pcre2-32 REQUIRED)  # code points as they are, valid or not
add_library(tessera_pcre2 INTERFACE)
target_include_directories(tessera_pcre2 SYSTEM INTERFACE ${PCRE2_INCLUDE_DIR})
target_link_libraries(tessera_pcre2 INTERFACE ${PCRE2_32_LIBRARY})

find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
find_library(XXHASH_LIBRARY xxhash REQUIRED)
add_library(tessera_xxhash INTERFACE)
target_include_directories(tessera_xxhash SYSTEM INTERFACE ${XXHASH_INCLUDE_DIR})
target_link_libraries(tessera_xxhash INTERFACE ${XXHASH_LIBRARY})

# Optional: llama.cpp's own encoders. Its CMake package also looks for every GPU library it was built with, so the two
# files that are needed are looked for instead.
option(TESSERA_WITH_GGML "Offer the encoders of a system libggml where there is one (--encoder ggml)" ON)
if(TESSERA_WITH_GGML)
  find_path(GGML_INCLUDE_DIR ggml.h)
  find_library(GGML_BASE_LIBRARY ggml-base)
endif()
add_library(tessera_ggml INTERFACE)
if(TESSERA_WITH_GGML AND GGML_INCLUDE_DIR AND GGML_BASE_LIBRARY)
  message(STATUS "Found ggml: ${GGML_BASE_LIBRARY}")
  set(TESSERA_GGML_LIBRARY ${GGML_BASE_LIBRARY})  # for users of the installed package
  target_include_directories(tessera_ggml SYSTEM INTERFACE ${GGML_INCLUDE_DIR})
  target_link_libraries(tessera_ggml INTERFACE ${GGML_BASE_LIBRARY})
  target_compile_definitions(tessera_ggml INTERFACE TESSERA_WITH_GGML)
endif()
