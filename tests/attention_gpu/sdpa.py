"""Times PyTorch's SDPA backends on the shapes of flash_v2, gqa_decode and flash_decoding, one CSV row
each: many calls per pair of events, the median of seven samples. Run it beside kvroof_kernel_times, on
the same GPU in the same minutes."""
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

BACKENDS = (("sdpa_flash", SDPBackend.FLASH_ATTENTION), ("sdpa_cudnn", SDPBackend.CUDNN_ATTENTION))
DECODE = [  # b, h_q, h_kv, s_kv, d
    (64, 32, 32, 2048, 128), (64, 32, 8, 2048, 128), (64, 32, 8, 8192, 128), (32, 32, 8, 8192, 128),
    (32, 64, 8, 8192, 128), (256, 32, 1, 4096, 128), (32, 32, 8, 8192, 64), (32, 32, 8, 4096, 256),
    (128, 32, 8, 1024, 128), (16, 32, 8, 512, 128), (1, 64, 8, 131072, 128), (1, 64, 8, 65536, 128),
    (1, 32, 8, 8192, 128), (1, 32, 8, 32768, 128), (4, 32, 8, 32768, 128), (8, 64, 8, 32768, 128),
    (16, 32, 8, 4096, 128), (2, 32, 32, 16384, 128), (8, 32, 8, 32768, 64), (4, 16, 8, 16384, 256)]


def microseconds(call, samples=7, window_ms=20):
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    times, count = [], 3
    for sample in range(samples + 1):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(count):
            call()
        end.record()
        torch.cuda.synchronize()
        each = begin.elapsed_time(end) / count
        if sample == 0:  # sets the number of calls per sample
            count = max(3, min(1000, int(window_ms / each)))
        else:
            times.append(each * 1e3)
    return sorted(times)[samples // 2]


def tensor(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def rows(case, q, k, v, flops, byte_count, **options):
    for name, backend in BACKENDS:
        try:
            with sdpa_kernel(backend):
                us = microseconds(lambda: F.scaled_dot_product_attention(q, k, v, **options))
            print(f"{name},{case},{us:.2f},,,{flops / us / 1e6:.1f},{byte_count / us / 1e3:.0f}", flush=True)
        except RuntimeError as error:
            print(f"{name},{case},refused: {str(error).splitlines()[0][:60]}", flush=True)


for d in (64, 128, 256):
    for n in (512, 2048, 8192, 16384):
        b, h = 16384 // n, 2048 // d
        q, k, v = (tensor(b, h, n, d) for _ in range(3))
        for causal in (False, True):
            case = f"b{b} h{h}/{h} s{n}/{n} d{d}" + (" causal" if causal else "")
            rows(case, q, k, v, 4 * b * h * n * n * d / (2 if causal else 1), 8 * b * h * n * d,
                 is_causal=causal)
for b, h_q, h_kv, n, d in DECODE:
    q, k, v = tensor(b, h_q, 1, d), tensor(b, h_kv, n, d), tensor(b, h_kv, n, d)
    rows(f"b{b} h{h_q}/{h_kv} s1/{n} d{d}", q, k, v, 4 * b * h_q * n * d, 4 * b * h_kv * n * d,
         enable_gqa=h_q != h_kv)
