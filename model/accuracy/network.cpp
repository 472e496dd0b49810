// Vidur's network profile: all-reduce between GPUs of one machine, send/receive between two of one
// or of two machines, NCCL through PyTorch.
#include "model/accuracy/answers.hpp"
#include "model/accuracy/nccl.hpp"
#include "model/accuracy/published.hpp"
#include "model/collective.hpp"
#include "model/time.hpp"

namespace kvroof::accuracy {
namespace {

std::vector<Read> read(const Csv& csv) {
  return read_published(csv, [](Measurement& m) -> std::string {
    m.engine = "NCCL";
    m.mode = Mode::kernel;
    m.more["bytes"] = number_after(m.words["batch"], "message bytes=", 0);
    m.more["gpus_of_host"] = number_after(m.words["note"], "devices_per_node=", 0);
    m.configuration = m.hardware + "|" + m.metric + "|" + std::to_string(m.num_gpus);
    if (!(m.more["bytes"] > 0)) return "no message size";
    if (m.num_gpus < 2) return "fewer than two GPUs";
    if (m.metric != "all_reduce_time" && m.metric != "send_recv_time")
      return "metric " + m.metric + " is not one of this profile";
    return {};
  });
}

std::vector<Answer> predict(Context& context, std::span<const Measurement> rows) {
  return answer_each(rows, [&](const Measurement& m) {
    const Machine* gpu = context.machine(m.hardware);
    if (!gpu) throw std::runtime_error("no hardware profile for " + m.hardware);
    const bool all_reduce = m.metric == "all_reduce_time";
    const bool pair = mentions(m.hardware, "pairwise");
    if (pair && all_reduce && m.num_gpus > 2)
      throw std::runtime_error("GPUs linked in pairs: the path between pairs is not modelled");
    const Collective c{.kind = all_reduce ? CollectiveKind::all_reduce : CollectiveKind::send,
                       .ranks = all_reduce ? m.num_gpus : 2,
                       .payload = Bytes{m.more.at("bytes")}};
    if (!all_reduce && m.more.at("gpus_of_host") == 1) return link_time(c, gpu->nic).value;
    return max(all_reduce ? process_group_call() : Seconds{}, nccl_time(*gpu, c)).value;
  });
}

}  // namespace

FileFormat network_format() {
  return {"Vidur network profile", [](const Csv& csv) { return is_published(csv, "Vidur"); }, read,
          predict};
}

}  // namespace kvroof::accuracy
