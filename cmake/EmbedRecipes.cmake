# Writes OUTPUT, a source file that defines embedded_recipes() from the files RECIPES (a list). Run as a script:
#   cmake -DRECIPES="a.yaml;b.yaml" -DOUTPUT=out.cc -P EmbedRecipes.cmake
set(entries "")
foreach(file IN LISTS RECIPES)
  file(READ ${file} text)
  get_filename_component(name ${file} NAME)
  string(APPEND entries "    EmbeddedFile{\"${name}\", R\"recipe(${text})recipe\"},\n")
endforeach()
file(WRITE ${OUTPUT} "#include \"artifacts/embedded_recipes.h\"

#include <array>

namespace tessera {

std::span<const EmbeddedFile> embedded_recipes() {
  static constexpr std::array kFiles = {
${entries}  };
  return kFiles;
}

}  // namespace tessera
")
