# cmake -DIN=report.js -DOUT=report_js.cpp -DNAME=report_js -P embed.cmake
# A file as an array of unsigned char: a char array would not take bytes above 0x7f.
file(READ ${IN} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "((0x..,){20})" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT}.new "#include \"reports/embedded.hpp\"
namespace kvroof::reports {
static constexpr unsigned char kBytes[] = {\n${bytes}};
std::string_view ${NAME}() { return {reinterpret_cast<const char*>(kBytes), sizeof kBytes}; }
}
")
file(RENAME ${OUT}.new ${OUT})
