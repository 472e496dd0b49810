// Whether this GPU runs the code of this folder. None of it has ever run: it was written without a
// GPU of compute capability 10.0 at hand.
#pragma once

namespace kvroof::kernels {

/// Shown wherever a kernel of this folder is named or measured.
inline constexpr const char* kNeverRun = "never run";

/// True on a GPU of compute capability 10.0 (B100, B200, GB200). Code for sm_100a runs on no other:
/// 10.3 (B300) needs code of its own.
bool runs_sm100a();
/// Throws NotOnThisGpu elsewhere, naming the kernel and the GPU.
void require_sm100a(const char* kernel);

}  // namespace kvroof::kernels
