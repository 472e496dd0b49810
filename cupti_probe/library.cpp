#include "cupti_probe/library.hpp"

#include <dlfcn.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

#include "cupti_probe/error.hpp"

namespace kvroof::probe {
namespace fs = std::filesystem;
namespace {

constexpr const char* kHowToGet =
    "install the CUDA Toolkit with CUPTI 13, or name its folder in KVROOF_CUPTI; times alone: "
    "--no-counters";

void add(std::vector<fs::path>& folders, const fs::path& folder) {
  std::error_code error;
  if (folder.empty() || !fs::is_directory(folder, error)) return;
  const fs::path real = fs::canonical(folder, error);
  if (error || std::find(folders.begin(), folders.end(), real) != folders.end()) return;
  folders.push_back(real);
}

void add_toolkit(std::vector<fs::path>& folders, const fs::path& root) {
  for (const char* tail : {"extras/CUPTI/lib64", "targets/x86_64-linux/lib", "lib64", "lib"})
    add(folders, root / tail);
}

void add_children(std::vector<fs::path>& folders, const fs::path& parent, std::string_view prefix,
                  const fs::path& tail) {
  std::error_code error;
  std::vector<fs::path> found;
  for (const fs::directory_entry& child : fs::directory_iterator(parent, error))
    if (child.path().filename().string().starts_with(prefix)) found.push_back(child.path());
  std::sort(found.rbegin(), found.rend());  // newest version first
  for (const fs::path& child : found) {
    if (tail.empty()) add_toolkit(folders, child);
    else add(folders, child / tail);
  }
}

fs::path environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

template <class Function>
void resolve(void* library, const char* name, Function& out) {
  out = reinterpret_cast<Function>(dlsym(library, name));
  if (!out)
    throw Unavailable(fmt::format("CUPTI: the library lacks {}, so it is older than 13.0", name),
                      kHowToGet);
}

constexpr std::array<const char*, 3> kLibraries{"libnvperf_host.so", "libnvperf_target.so",
                                                "libcupti.so.13"};

bool complete(const fs::path& folder) {
  return std::all_of(kLibraries.begin(), kLibraries.end(),
                     [&](const char* name) { return fs::exists(folder / name); });
}

Cupti open_cupti() {
  const std::vector<fs::path> folders = cupti_folders();
  const auto found = std::find_if(folders.begin(), folders.end(), complete);
  if (found == folders.end()) {
    std::string looked;
    for (const fs::path& folder : folders) looked += (looked.empty() ? "" : ", ") + folder.string();
    throw Unavailable(
        fmt::format("CUPTI: libcupti.so.13 with libnvperf_host.so and "
                    "libnvperf_target.so was not found (looked in {})",
                    looked.empty() ? "no folder: none of the usual ones exists" : looked),
        kHowToGet);
  }
  void* library = nullptr;  // never closed: CUPTI does not survive it
  for (const char* name : kLibraries) {
    library = dlopen((*found / name).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) throw Unavailable(fmt::format("CUPTI: {}", dlerror()), kHowToGet);
  }
  Cupti c;
  c.folder = *found;
#define KVROOF_RESOLVE(name) resolve(library, #name, c.name);
  KVROOF_CUPTI_CALLS(KVROOF_RESOLVE)
#undef KVROOF_RESOLVE
  c.cuptiGetVersion(&c.version);
  return c;
}

struct Remedy {
  CUptiResult code;
  const char *what, *cure;
  bool permanent = true;
};

constexpr std::array kRemedies{
    Remedy{CUPTI_ERROR_INSUFFICIENT_PRIVILEGES, "permission denied (ERR_NVGPUCTRPERM)",
           "run as root or with CAP_PERFMON (CAP_SYS_ADMIN before driver R565; in a container "
           "--cap-add=SYS_ADMIN), or load the driver with NVreg_RestrictProfilingToAdminUsers=0; "
           "times alone: --no-counters"},
    Remedy{CUPTI_ERROR_HARDWARE_BUSY, "another process holds the counters",
           "stop ncu or another CUPTI program, pause DCGM (dcgmi profile --pause); times alone: "
           "--no-counters"},
    Remedy{CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED, "another tool is attached",
           "run without nsys, ncu, cuda-gdb or compute-sanitizer; times alone: --no-counters"},
    Remedy{CUPTI_ERROR_NOT_INITIALIZED, "the profiler could not start",
           "check that the driver is as new as CUDA 13; times alone: --no-counters"},
    Remedy{CUPTI_ERROR_VIRTUALIZED_DEVICE_NOT_SUPPORTED, "this vGPU has no counters",
           "use the whole GPU; times alone: --no-counters"},
    Remedy{CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES, "this vGPU may not be profiled",
           "have the hypervisor allow profiling; times alone: --no-counters"},
    Remedy{CUPTI_ERROR_CONFIDENTIAL_COMPUTING_NOT_SUPPORTED,
           "confidential computing forbids counters", "times alone: --no-counters"},
    Remedy{CUPTI_ERROR_CMP_DEVICE_NOT_SUPPORTED, "a mining GPU has no counters",
           "times alone: --no-counters"},
    Remedy{CUPTI_ERROR_MIG_DEVICE_NOT_SUPPORTED, "a MIG slice has no counters here",
           "use the whole GPU; times alone: --no-counters"},
    Remedy{CUPTI_ERROR_SLI_DEVICE_NOT_SUPPORTED, "SLI forbids counters",
           "times alone: --no-counters"},
    Remedy{CUPTI_ERROR_WSL_DEVICE_NOT_SUPPORTED, "WSL has no counters",
           "run on Linux; times alone: --no-counters"},
    Remedy{CUPTI_ERROR_INVALID_CHIP_NAME, "this CUPTI does not know the chip",
           "install a newer CUPTI; times alone: --no-counters"},
    // After a failed Stop every later collection of the process fails as well.
    Remedy{CUPTI_ERROR_UNKNOWN, "internal error",
           "start the program again; graphs need a whole-range collection; times alone: "
           "--no-counters"},
};

std::optional<Unavailable> given_up;
std::mutex given_up_mutex;

}  // namespace

std::vector<fs::path> cupti_folders() {
  std::vector<fs::path> folders;
  if (const fs::path only = environment("KVROOF_CUPTI"); !only.empty()) {
    add(folders, only);
    return folders;
  }
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"})
    if (const fs::path root = environment(name); !root.empty()) add_toolkit(folders, root);
#ifdef KVROOF_CUPTI_FOLDER
  add(folders, KVROOF_CUPTI_FOLDER);
#endif
  add_children(folders, "/usr/local", "cuda", "");
  const std::string path = environment("LD_LIBRARY_PATH").string();
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    add(folders, path.substr(at, end - at));
    at = end + 1;
  }
  if (const fs::path venv = environment("VIRTUAL_ENV"); !venv.empty())
    add_children(folders, venv / "lib", "python3", "site-packages/nvidia/cu13/lib");
  add_children(folders, "/usr/local/lib", "python3", "dist-packages/nvidia/cu13/lib");
  return folders;
}

const Cupti& cupti() {
  static const Cupti c = open_cupti();
  return c;
}

void cupti_check(CUptiResult result, const char* call) {
  if (result == CUPTI_SUCCESS) return;
  const char* name = nullptr;
  if (cupti().cuptiGetResultString(result, &name) != CUPTI_SUCCESS || !name) name = "unknown";
  const auto known = std::find_if(kRemedies.begin(), kRemedies.end(),
                                  [&](const Remedy& r) { return r.code == result; });
  if (known == kRemedies.end())
    throw Broken(fmt::format("CUPTI: {} answered {} ({})", call, name, static_cast<int>(result)));
  const Unavailable error(fmt::format("CUPTI: {} ({} answered {}, {})", known->what, call, name,
                                      static_cast<int>(result)),
                          known->cure, known->permanent);
  const std::lock_guard lock(given_up_mutex);
  if (error.permanent && !given_up) given_up = error;
  throw error;
}

void cupti_given_up() {
  const std::lock_guard lock(given_up_mutex);
  if (given_up) throw *given_up;
}

}  // namespace kvroof::probe
