# Embeds text files into the program, as one function that gives their names and texts. Included, it defines
#   tessera_embed(OUTPUT FUNCTION FILES...)    a rule for OUTPUT, a source file that defines FUNCTION()
# which runs this file as a script:
#   cmake -DFUNCTION=name -DFILES="a.yaml;b.yaml" -DOUTPUT=out.cc -P EmbedFiles.cmake
# src/artifacts/embedded_files.h declares the functions.
if(NOT CMAKE_SCRIPT_MODE_FILE)
  function(tessera_embed output name)
    add_custom_command(OUTPUT ${output}
      COMMAND ${CMAKE_COMMAND} -DFUNCTION=${name} "-DFILES=${ARGN}" -DOUTPUT=${output}
        -P ${PROJECT_SOURCE_DIR}/cmake/EmbedFiles.cmake
      DEPENDS ${ARGN} ${PROJECT_SOURCE_DIR}/cmake/EmbedFiles.cmake VERBATIM)
  endfunction()
  return()
endif()
set(entries "")
foreach(file IN LISTS FILES)
  file(READ ${file} text)
  get_filename_component(name ${file} NAME)
  string(APPEND entries "    EmbeddedFile{\"${name}\", R\"file(${text})file\"sv},\n")
endforeach()
file(WRITE ${OUTPUT} "#include \"artifacts/embedded_files.h\"

#include <array>
#include <string_view>

namespace tessera {

std::span<const EmbeddedFile> ${FUNCTION}() {
  using namespace std::string_view_literals;  // whose length no loop has to find
  static constexpr std::array kFiles = {
${entries}  };
  return kFiles;
}

}  // namespace tessera
")
