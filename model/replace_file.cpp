#include "model/replace_file.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "model/user_error.hpp"

namespace kvroof {

void replace_file(const std::string& path, const std::string& text) {
  const std::string beside = path + "." + std::to_string(getpid()) + ".tmp";
  {
    std::ofstream out(beside, std::ios::binary);
    out << text;
    out.flush();
    if (!out) throw UserError(path + ": expected a file that can be written");
  }
  std::error_code error;
  std::filesystem::rename(beside, path, error);
  if (error) throw UserError(path + ": " + error.message());
}

}  // namespace kvroof
