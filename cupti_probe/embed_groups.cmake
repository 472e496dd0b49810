# cmake -DFOLDER=… -DOUT=… -P embed_groups.cmake: every FOLDER/*.txt as a raw string, in order of name.
file(GLOB files ${FOLDER}/*.txt)
list(SORT files)
set(rows "")
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} text)
  string(APPEND rows "    {\"${name}\", R\"group(${text})group\"},\n")
endforeach()
file(WRITE ${OUT} "#include \"cupti_probe/embedded_groups.hpp\"

namespace kvroof::probe {
namespace {
constexpr EmbeddedGroup kTable[] = {
${rows}};
}  // namespace
extern const std::span<const EmbeddedGroup> kEmbeddedGroups;
const std::span<const EmbeddedGroup> kEmbeddedGroups{kTable};
}  // namespace kvroof::probe
")
