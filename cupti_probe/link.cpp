// kvroof-probe link: copies between two GPUs and all-reduces in bf16 over all of them, by our own
// kernels through peer memory and by NCCL, beside link_time() of a profile.
#include <cuda_runtime.h>
#include <fmt/core.h>

#include <algorithm>
#include <memory>

#include "cupti_probe/environment.hpp"
#include "cupti_probe/error.hpp"
#include "cupti_probe/profiler.hpp"
#include "cupti_probe/record.hpp"
#include "cupti_probe/verbs.hpp"
#include "kernels/device.hpp"
#include "kernels/link/all_reduce.hpp"
#include "kernels/link/nccl.hpp"
#include "model/collective.hpp"
#include "model/profile.hpp"
#include "model/search_path.hpp"

namespace kvroof::probe {
namespace {

using kernels::AllReduce;

constexpr std::size_t kSizes[] = {16 << 10, 64 << 10, 256 << 10, 1 << 20,
                                  4 << 20,  16 << 20, 64 << 20,  256 << 20};

constexpr std::size_t kChecked = 1 << 20;  // sums up to this size are compared with the CPU's

int gpus() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

/// More of the short ones, so that the ranks' different starts do not count.
int operations(std::size_t bytes) {
  return bytes <= (1 << 20) ? 200 : bytes <= (16 << 20) ? 40 : 8;
}

/// Seconds of one all-reduce, by each way.
struct Row {
  std::size_t bytes;
  double predicted;
  kernels::Stats one_shot, two_shot;
  std::optional<kernels::Stats> nccl;
  double best() const {
    const double own = std::min(one_shot.median, two_shot.median);
    return nccl ? std::min(own, nccl->median) : own;
  }
};

Row run(const kernels::Peers& peers, const kernels::Nccl* nccl, std::size_t bytes,
        const Link& link) {
  const kernels::PeerAllReduce reduce(peers, bytes);
  if (bytes <= kChecked)
    for (const AllReduce how : {AllReduce::one_shot, AllReduce::two_shot})
      if (const kernels::Verdict v = reduce.verify(how); !v.ok)
        throw Broken("all-reduce gives a wrong sum: " + v.detail);
  const auto time = [&](AllReduce how) {
    return peers.time_graphs(
        [&](int rank, cudaStream_t stream) { reduce.launch(how, rank, stream); },
        operations(bytes));
  };
  const Collective c{.kind = CollectiveKind::all_reduce,
                     .ranks = peers.ranks(),
                     .payload = Bytes{static_cast<double>(bytes)}};
  Row row{
      bytes, link_time(c, link).value, time(AllReduce::one_shot), time(AllReduce::two_shot), {}};
  if (nccl != nullptr) {
    std::vector<const void*> from;
    std::vector<void*> to;
    std::vector<cudaStream_t> streams;
    for (int r = 0; r < peers.ranks(); ++r) {
      from.push_back(reduce.payload(r).as());
      to.push_back(reduce.sum(r).as());
      streams.push_back(peers.stream(r));
    }
    row.nccl = peers.time_streams([&] { nccl->all_reduce(from, to, bytes / 2, streams); },
                                  std::min(operations(bytes), 50));
  }
  return row;
}

void print(const Row& r) {
  const double error = 100 * (r.predicted / r.best() - 1);
  fmt::print("{:<10} {:>12} {:>12} {:>12} {:>12} {:>9.1f} %\n",
             with_prefix(static_cast<double>(r.bytes), "B"), with_prefix(r.predicted, "s"),
             with_prefix(r.one_shot.median, "s"), with_prefix(r.two_shot.median, "s"),
             r.nccl ? with_prefix(r.nccl->median, "s") : "–", error);
}

}  // namespace

int link(const LinkOptions& options, const std::string& command) {
  const Link nvlink = to_machine(load_profile(profile_file(options.profile))).nvlink;
  const std::unique_ptr<Record> record = open_record(
      options.csv, {"figure", "bytes", "way", "unit", "predicted", "measured", "p5", "p95"});
  require_gpu();
  const int ranks = options.gpus > 0 ? options.gpus : std::min(gpus(), kernels::kMostRanks);
  if (ranks < 2 || ranks > gpus())
    throw Unavailable(fmt::format("{} GPU here, {} asked for", gpus(), std::max(ranks, 2)),
                      "a machine with several GPUs, or --gpus with fewer");
  const kernels::Peers peers(ranks);
  const std::unique_ptr<kernels::Nccl> nccl = kernels::Nccl::open(ranks);
  const Environment env = environment(command, false);
  fmt::print("{}\n{} GPUs · {}\n\n", headline(env), ranks,
             nccl ? "NCCL " + nccl->version() : std::string("no NCCL (libnccl.so.2)"));

  const auto add = [&](std::string_view figure, double bytes, std::string_view way,
                       std::string_view unit, double predicted, const kernels::Stats& s) {
    if (record)
      record->row({std::string(figure), csv_number(bytes), std::string(way), std::string(unit),
                   csv_number(predicted), csv_number(s.median), csv_number(s.p5),
                   csv_number(s.p95)});
  };
  SensorWatch watch(0);
  constexpr std::size_t kCopy = 256 << 20;
  for (const bool both : {false, true}) {
    const kernels::Stats s = kernels::peer_copy_rate(peers, kCopy, both);
    const double wire = nvlink.bandwidth.value;
    fmt::print("copies of 256 MiB, {:<9}  {:>12}  {:.0f} % of the link's {} in one direction\n",
               both ? "both ways" : "one way", with_prefix(s.median, "B/s"), 100 * s.median / wire,
               with_prefix(wire, "B/s"));
    add("peer copy", kCopy, both ? "both ways" : "one way", "B/s", wire, s);
  }
  fmt::print("\nall-reduce, bf16, {} ranks\n{:<10} {:>12} {:>12} {:>12} {:>12} {:>11}\n", ranks,
             "bytes", "predicted", "one-shot", "two-shot", "NCCL", "to the best");
  for (const std::size_t bytes : kSizes) {
    const Row row = run(peers, nccl.get(), bytes, nvlink);
    print(row);
    const auto size = static_cast<double>(bytes);
    add("all-reduce", size, "one-shot", "s", row.predicted, row.one_shot);
    add("all-reduce", size, "two-shot", "s", row.predicted, row.two_shot);
    if (row.nccl) add("all-reduce", size, "NCCL", "s", row.predicted, *row.nccl);
  }
  fmt::print(
      "\nour kernels as graphs, NCCL on streams, where the host may be the limit below 1 MB\n");
  const SensorRange sensors = watch.stop();
  if (record) record->close(header_lines(env, sensors));
  return 0;
}

}  // namespace kvroof::probe
