#!/usr/bin/env python3
"""Our kernels beside PyTorch's scaled_dot_product_attention on one GPU, in one run.

  tests/compare_with_sdpa.py flash_v3 --times build/cuda/bin/kvroof_kernel_times --csv flash_v3.csv

  flash_v2       beside the FlashAttention-2 backend, bf16, d 64 / 128 / 256
  flash_v3       beside the cuDNN backend, bf16, the grid of arXiv:2407.08608 section 4.1
  flash_v3_fp8   alone: SDPA has no FP8
  flash_v4       flash_v4's options beside the cuDNN backend
  flash_backward beside the FlashAttention-2 backend's backward pass through autograd, bf16
  decode         beside the best SDPA backend of each shape; K and V bytes over time
  paged          beside our own contiguous decode
  fp8_kv         quantised_kv, format 0; K and V bytes over time, beside --roof

Both sides run as CUDA graphs of many calls on random data and take turns, five rounds each; a row
holds the medians. The ratio is ours over theirs: above 1 we are faster. Needs PyTorch."""
import argparse
import datetime
import math
import statistics
import subprocess
import sys

LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
ROUNDS = 5


class Ours:
    """kvroof_kernel_times as a server: a line in, a row out."""

    def __init__(self, program):
        self.process = subprocess.Popen([program, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def microseconds(self, kernel, args):
        self.process.stdin.write(" ".join([kernel] + [f"{k}={v}" for k, v in args.items()]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("failed"):
            raise RuntimeError(answer or "kvroof_kernel_times ended")
        return float(answer.split(",")[2])


class Sdpa:
    """One call of one backend, captured as a graph of enough calls to fill 15 ms; with `backward`,
    of the gradients of q, k and v alone."""

    def __init__(self, torch, backend, args, causal, backward=False):
        from torch.nn.attention import SDPBackend, sdpa_kernel
        d = args.get("d", args.get("d_qk", 128))
        h_q, s_q = args["h_q"], args.get("s_q", 1)
        h_kv, s_kv = args.get("h_kv", h_q), args.get("s_kv", s_q)

        def tensor(h, s, columns):
            return torch.randn(args["b"], h, s, columns, device="cuda", dtype=torch.bfloat16)

        q, k, v = tensor(h_q, s_q, d), tensor(h_kv, s_kv, d), tensor(h_kv, s_kv, args.get("d_v", d))
        self.torch, self.backend = torch, backend

        def forward():
            with sdpa_kernel(getattr(SDPBackend, backend)):
                return torch.nn.functional.scaled_dot_product_attention(
                    q, k, v, is_causal=causal, enable_gqa=h_q != h_kv)

        stream = torch.cuda.Stream()  # gradients run on the stream of their forward pass
        stream.wait_stream(torch.cuda.current_stream())
        call = forward
        if backward:
            inputs = [x.requires_grad_() for x in (q, k, v)]
            with torch.cuda.stream(stream):
                out = forward()
                d_o = torch.randn_like(out)

            def call():
                torch.autograd.grad(out, inputs, d_o, retain_graph=True)

        with torch.cuda.stream(stream), torch.set_grad_enabled(backward):
            for _ in range(3):
                call()
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            call()
            end.record()
        torch.cuda.synchronize()
        self.calls = max(3, min(1000, int(15 / begin.elapsed_time(end))))
        self.graph = torch.cuda.CUDAGraph()
        with torch.set_grad_enabled(backward), torch.cuda.graph(self.graph, stream=stream):
            for _ in range(self.calls):
                call()
        self.graph.replay()
        torch.cuda.synchronize()

    def microseconds(self):
        begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        self.graph.replay()
        end.record()
        self.torch.cuda.synchronize()
        return begin.elapsed_time(end) * 1e3 / self.calls


def prefill_points(head_sizes, name):
    for d in head_sizes:
        for causal in (0, 1):
            for n in LENGTHS:
                h = 2048 // d
                yield {"b": 16384 // n, "h_q": h, "s_q": n, name: d, "causal": causal}


def backward_flops(a):
    return 2.5 * prefill_flops(a)


def prefill_flops(a):
    d = a.get("d", a.get("d_qk"))
    return 4 * a["b"] * a["h_q"] * a["s_q"] ** 2 * d / (2 if a["causal"] else 1)


def decode_points():
    for h_q in (32, 64):
        for n in (2048, 8192, 32768, 131072):
            for b in (1, 4, 16, 32, 64):
                if b * n <= 1 << 20:
                    yield {"b": b, "h_q": h_q, "h_kv": 8, "s_kv": n, "d": 128}


def kv_bytes(a, element=2):
    return 2 * a["b"] * a["h_kv"] * a["s_kv"] * a["d"] * element


def comparisons(what):
    """(points, our kernels, their backends or kernels, quantity of a point, unit)"""
    tera, giga = (prefill_flops, "TFLOP/s"), (kv_bytes, "GB/s")
    paged = [dict(a, block_size=size) for a in decode_points() if a["h_q"] == 32 for size in (16, 64)]
    return {
        "flash_v2": (prefill_points((64, 128, 256), "d"), ["flash_v2"], ["FLASH_ATTENTION"], *tera),
        "flash_v3": (prefill_points((64, 128, 256), "d_qk"), ["flash_v3"], ["CUDNN_ATTENTION"], *tera),
        "flash_v3_fp8": (prefill_points((128, 256), "d_qk"), ["flash_v3_fp8"], [], *tera),
        "flash_v4": (prefill_points((128,), "d_qk"), ["flash_v4"], ["CUDNN_ATTENTION"], *tera),
        "flash_backward": (prefill_points((64, 128, 256), "d"), ["flash_backward"], ["FLASH_ATTENTION"],
                           backward_flops, "TFLOP/s"),
        "decode": (decode_points(), ["flash_decoding", "gqa_decode", "gqa_decode_tma"],
                   ["CUDNN_ATTENTION", "FLASH_ATTENTION", "EFFICIENT_ATTENTION"], *giga),
        "paged": (paged, ["paged_decode"], ["flash_decoding"], *giga),
        "fp8_kv": ([dict(a, format=0) for a in decode_points()], ["quantised_kv"], [],
                   lambda a: kv_bytes(a, 1), "GB/s"),
    }[what]


def measure(torch, ours, args, kernels, others, backward):
    """name -> median microseconds, all sides taking turns"""
    sides = {}
    for kernel in kernels:
        sides[kernel] = lambda kernel=kernel: ours.microseconds(kernel, args)
    for other in others:
        if other.endswith("_ATTENTION"):
            try:
                sides[other] = Sdpa(torch, other, args, bool(args.get("causal", 0)), backward).microseconds
            except RuntimeError as error:
                print(f"  {other} refuses {args}: {str(error).splitlines()[0][:80]}", file=sys.stderr)
        else:
            sides[other] = lambda other=other: ours.microseconds(other, args)
    times = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name in list(times):
            try:
                times[name].append(sides[name]())
            except RuntimeError as error:  # this shape is not for that kernel
                print(f"  {name} {args}: {error}", file=sys.stderr)
                del times[name]
    return {name: statistics.median(samples) for name, samples in times.items()}


def header(torch, command):
    smi = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,clocks.max.sm", "--format=csv,noheader"],
                         capture_output=True, text=True).stdout.strip().split(", ")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    cudnn = torch.backends.cudnn.version()
    return [f"# gpu: {smi[0]}", f"# driver: {smi[1]}",
            f"# cuda: {torch.version.cuda}; PyTorch {torch.__version__}, cuDNN {cudnn}",
            f"# sm_clock_mhz: default clocks, at most {smi[2]}", f"# date: {datetime.date.today()}",
            f"# commit: {commit or 'unknown'}", f"# command: {command}",
            f"# method: random normal data; CUDA graphs of 15 ms, taking turns; medians of {ROUNDS}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["flash_v2", "flash_v3", "flash_v3_fp8", "flash_v4",
                                         "flash_backward", "decode", "paged", "fp8_kv"])
    parser.add_argument("--times", default="build/cuda/bin/kvroof_kernel_times", help="the program that times ours")
    parser.add_argument("--csv", help="write a record")
    parser.add_argument("--kernels", help="ours instead of the default ones, separated by commas")
    parser.add_argument("--every", type=int, default=1, help="only every n-th point")
    parser.add_argument("--roof", type=float, default=0, help="GB/s or TFLOP/s that count as 1 where nobody else runs")
    options = parser.parse_args()
    import torch
    ours = Ours(options.times)
    points, kernels, others, quantity, unit = comparisons(options.what)
    kernels = options.kernels.split(",") if options.kernels else kernels
    scale = 1e6 if unit == "TFLOP/s" else 1e3
    lines, ratios = [], []
    for args in list(points)[::options.every]:
        times = measure(torch, ours, args, kernels, others, options.what == "flash_backward")
        running = [name for name in kernels if name in times]
        if not running:
            continue
        mine = min(running, key=lambda name: times[name])
        theirs = min((name for name in others if name in times), key=lambda name: times[name], default="")
        rate = {name: quantity(args) / us / scale for name, us in times.items()}
        ratio = rate[mine] / rate[theirs] if theirs else rate[mine] / options.roof if options.roof else math.nan
        ratios.append(ratio)
        shape = " ".join(f"{k}={v}" for k, v in args.items())
        lines.append(f"{shape},{mine},{times[mine]:.2f},{rate[mine]:.1f},{theirs},"
                     + (f"{times[theirs]:.2f},{rate[theirs]:.1f}" if theirs else ",") + f",{unit},{ratio:.3f}")
        print(lines[-1], flush=True)
    told = [r for r in ratios if not math.isnan(r)]
    if told:
        geomean = math.exp(sum(map(math.log, told)) / len(told))
        print(f"{options.what}: {len(told)} points, geometric mean {geomean:.3f}, least {min(told):.3f}")
    if options.csv:
        command = "tests/compare_with_sdpa.py " + options.what + (f" --roof {options.roof:g}" if options.roof else "")
        with open(options.csv, "w") as file:
            file.write("\n".join(header(torch, command)) + "\n")
            file.write("shape,ours,ours_us,ours_rate,theirs,theirs_us,theirs_rate,unit,ratio\n")
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
