# tessera_add_protobuf(TARGET FILE.proto): generates C++ under the build tree (included as FILE.pb.h, by the path of the
# .proto below the current folder) and compiles it into TARGET without this project's warnings: the code is not ours.
find_package(Protobuf REQUIRED)

function(tessera_add_protobuf target proto)
  set(generated ${CMAKE_CURRENT_BINARY_DIR}/protobuf)
  cmake_path(REMOVE_EXTENSION proto OUTPUT_VARIABLE stem)
  add_custom_command(
    OUTPUT ${generated}/${stem}.pb.cc ${generated}/${stem}.pb.h
    COMMAND ${CMAKE_COMMAND} -E make_directory ${generated}
    COMMAND protobuf::protoc --proto_path=${CMAKE_CURRENT_SOURCE_DIR} --cpp_out=${generated} ${proto}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${proto}
    VERBATIM)
  set_source_files_properties(${generated}/${stem}.pb.cc PROPERTIES COMPILE_OPTIONS -w)
  target_sources(${target} PRIVATE ${generated}/${stem}.pb.cc)
  target_include_directories(${target} SYSTEM PRIVATE ${generated})
  target_link_libraries(${target} PRIVATE protobuf::libprotobuf-lite)
endfunction()
