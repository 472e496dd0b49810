// Figures of scenarios: their numbers are the prediction's, every kind draws a comparison, the
// report is one small document without a link.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "model/profile.hpp"
#include "model/search_path.hpp"
#include "model/user_error.hpp"
#include "reports/html.hpp"
#include "reports/svg.hpp"
#include "scenarios/cli/figure_data.hpp"
#include "scenarios/cli/planner_report.hpp"
#include "scenarios/cli/records.hpp"
#include "scenarios/cli/stack.hpp"

using namespace kvroof;
using namespace kvroof::cli;
using doctest::Approx;

namespace {

Inputs inputs(const std::string& hardware, const std::string& llm = "llama-3.1-70b") {
  Inputs in;
  in.flags = {{"model", llm},
              {"hardware", hardware},
              {"serving.tensor_parallel_size", "8"},
              {"workload.input_len", "4096"},
              {"workload.output_len", "512"},
              {"workload.max_concurrency", "16"}};
  return in;
}

const std::vector<Case>& one() {
  static const std::vector<Case> c = cases(inputs("h100-sxm-80gb"), {});
  return c;
}
const std::vector<Case>& two() {
  static const std::vector<Case> c = cases(inputs("h100-sxm-80gb,h200-sxm-141gb"), {});
  return c;
}

int run(const std::string& arguments) {
  const std::string command = std::string(KVROOF_PROGRAM) + " " + arguments + " >/dev/null 2>&1";
  return WEXITSTATUS(std::system(command.c_str()));
}

}  // namespace

TEST_CASE("figures carry the prediction's numbers") {
  const Subject s = one().front().subject;
  const PhaseResult& decode = s.prediction.decode;
  Seconds floor, expected;
  for (const auto& row : op_times(s, Phase::decode).rows)
    floor += row.floor, expected += row.expected;
  Seconds op_floor, op_expected;
  for (const OpTime& t : decode.times) op_floor += t.floor, op_expected += t.expected;
  CHECK(expected.value == Approx(op_expected.value).epsilon(1e-12));
  CHECK(floor.value == Approx(op_floor.value).epsilon(1e-12));

  const reports::Waterfall w = waterfall(s, Phase::decode);
  Seconds sum = w.floor;
  for (const auto& step : w.steps) sum += step.delta;
  CHECK(w.floor == decode.step.floor);
  CHECK(sum.value == Approx(decode.step.expected.value).epsilon(1e-9));

  const reports::Roofline r = roofline({&s, 1}, Phase::decode);
  double flops = 0;  // attained rate × time gives the op's FLOPs back
  for (const auto& p : r.points) flops += p.predicted.value * p.share * op_expected.value;
  CHECK(flops == Approx(decode.work.flops.value).epsilon(0.01));
  REQUIRE_FALSE(r.trajectories.empty());
  const auto& at = r.trajectories.front().at;
  const auto own = std::find_if(at.begin(), at.end(), [](const auto& a) { return a.batch == 16; });
  REQUIRE(own != at.end());
  CHECK(own->attained == decode.work.flops / decode.step.expected);
  CHECK(own->intensity == decode.work.intensity());

  const reports::MemoryMap m = memory({&s, 1});
  const MemoryFit& fit = s.prediction.memory;
  Bytes total;
  for (const auto& part : m.rows.front().parts) total += part.bytes;
  CHECK(total.value ==
        Approx((fit.weights + fit.activations + fit.graphs + fit.context + fit.pool).value));
}

TEST_CASE("KV against context: 16 requests of 4,096 tokens take 16 · 4,096 · 327,680 B / 8") {
  const Subject s = one().front().subject;
  const reports::KvContext f = kv_context({&s, 1});
  // Llama-3.1-70B: 2 · 80 layers · 8 heads · 128 · 2 B = 327,680 B a token, one K/V head a GPU.
  const auto c = std::find_if(f.curves.begin(), f.curves.end(),
                              [](const auto& x) { return x.name == "16 requests, bf16"; });
  REQUIRE(c != f.curves.end());
  CHECK(c->at[2].context.value == 4096);
  CHECK(c->at[2].kv.value == 16 * 4096 * 327680.0 / 8);
  REQUIRE(f.capacities.size() == 1);
  CHECK(f.capacities.front().kv == s.prediction.memory.pool);
}

TEST_CASE("curves pass through the scenario's own point") {
  const Subject s = one().front().subject;
  const Prediction& p = s.prediction;
  bool on_front = false;
  for (const auto& a : pareto({&s, 1}).series.front().at)
    if (a.label == "TP8 b16") {
      on_front = true;
      CHECK(a.per_user.value == Approx(1 / p.tpot.value));
      CHECK(a.per_gpu.value == Approx(p.output_rate.value / 8));
    }
  CHECK(on_front);
  bool in_load = false;
  for (const auto& a : load({&s, 1}).series.front().at)
    if (a.load == 16) {
      in_load = true;
      CHECK(a.tpot_p50 == p.tpot);
      CHECK(a.ttft_p50 >= p.ttft);
    }
  CHECK(in_load);
  bool in_cost = false;
  for (const auto& series : cost({&s, 1}).series)
    if (series.name == "16 requests")
      for (const auto& a : series.at)
        if (a.context.value == 4096) {
          in_cost = true;
          CHECK(a.usd_per_million == Approx(p.usd_per_million_output_tokens));
        }
  CHECK(in_cost);
}

TEST_CASE("a trace of a step has one slice a run and lasts as long as the step") {
  const Subject s = one().front().subject;
  const reports::ChromeTrace t = trace(s, Phase::decode);
  double runs = 0;
  for (const Op& op : s.prediction.decode.ops) runs += op.count;
  CHECK(static_cast<double>(t.events.size()) == runs);
  Seconds end;
  for (const auto& e : t.events) end = max(end, e.start + e.duration);
  CHECK(end.value == Approx(s.prediction.decode.step.expected.value).epsilon(1e-9));
}

TEST_CASE("the report is small, closed and says so when a job does not fit") {
  for (const auto* c : {&one(), &two()}) {
    const std::string page = reports::html(planner_report(*c));
    CHECK(page.size() < 300 * 1000);
    std::string text = page;  // the SVG namespace is a name, not an address
    const std::string name = "http://www.w3.org/2000/svg";
    for (std::size_t at = 0; (at = text.find(name)) != std::string::npos;)
      text.erase(at, name.size());
    CHECK(text.find("://") == std::string::npos);
    CHECK(text.find("src=") == std::string::npos);
    CHECK(page.find("Yes: on 8 × h100-sxm-80gb it fits") != std::string::npos);
  }
  Inputs in = inputs("h100-sxm-80gb");
  in.flags["serving.tensor_parallel_size"] = "1";
  const std::string page = reports::html(planner_report(cases(in, {})));
  CHECK(page.find("No, it does not fit on 1 × h100-sxm-80gb") != std::string::npos);
  CHECK(page.find("id=\"ops\"") == std::string::npos);
}

TEST_CASE("records: a case names the call") {
  const auto call = parse_case("paged_decode", "v1 page256 b32 h32/8 s1/8192 d128 splits2");
  REQUIRE(call);
  CHECK(call->shape == AttentionShape{.b = 32,
                                      .s_q = 1,
                                      .s_kv = 8192,
                                      .h_q = 32,
                                      .h_kv = 8,
                                      .d_qk = 128,
                                      .d_v = 128,
                                      .causal = false});
  CHECK(call->options.block_size == 256);
  CHECK(call->options.paged_version == 1);
  CHECK(call->options.splits == 2);
  CHECK_FALSE(parse_case("sdpa_cudnn", "b1 h8/8 s1/8 d64"));
  CHECK_FALSE(parse_case("flash_v2", "b1 what"));
}

TEST_CASE("kvroof plot: every kind draws two GPUs; what cannot be drawn is refused") {
  const std::string folder = std::filesystem::temp_directory_path() / "kvroof-plot-test";
  std::filesystem::create_directories(folder);
  const std::string job =
      " --model llama-3.1-8b --input-len 2048 --output-len 256 --max-concurrency 8"
      " --hardware h100-sxm-80gb,h200-sxm-141gb";
  for (const std::string kind :
       {"roofline", "ops", "waterfall", "memory", "context", "pareto", "load", "cost"}) {
    CAPTURE(kind);
    const std::string file = folder + "/" + kind + ".svg";
    CHECK(run("plot " + kind + job + " -o " + file) == 0);
    std::ifstream in(file);
    std::stringstream svg;
    svg << in.rdbuf();
    CHECK(svg.str().find("</svg>") != std::string::npos);
    CHECK(svg.str().find("h200-sxm-141gb") != std::string::npos);
  }
  CHECK(run("plot pie" + job) == 2);
  CHECK(run("plot roofline" + job + " -o /nonexistent/x.svg") == 2);
  CHECK(run("plot roofline" + job + " -o " + folder + "/x.gif") == 2);
  CHECK(run("report" + job + " -o /nonexistent/x.html") == 2);
  const std::string kernel = folder + "/kernel.yaml";
  std::ofstream(kernel)
      << "schema: kvroof/scenario/v1\nhardware: h100-sxm-80gb\n"
         "kernel: {variant: flash_v2, b: 1, s_q: 128, s_kv: 128, h_q: 8, h_kv: 8, "
         "d_qk: 64, d_v: 64}\n";
  CHECK(run("run " + kernel) == 0);
  CHECK(run("plot roofline " + kernel) == 2);
  std::filesystem::remove_all(folder);
}

TEST_CASE(
    "a record of validate becomes a roofline of what was counted, and dots of what was chosen") {
  const auto path = std::filesystem::temp_directory_path() / "kvroof_records_test.csv";
  std::ofstream(path) << "# gpu: none\n"
                         "part,name,args,quantity,unit,predicted,measured\n"
                         "work,a,s=1,work,,,\n"
                         "kernel,a,s=1,executed FLOP,flop,1e12,1e12\n"
                         "kernel,a,s=1,HBM read,byte,1.1e9,1e9\n"
                         "kernel,a,s=1,HBM written,byte,1e9,1e9\n"
                         "kernel,a,s=1,time,s,0.001,0.002\n"
                         "kernel,b,s=1,HBM read,byte,2e6,1e6\n"
                         "kernel,b,s=1,time,s,0.001,0.001\n";
  const Machine machine = to_machine(load_profile(find_profile("h200-sxm-141gb", search_roots())));
  const std::vector<std::string> files{path.string()};

  const cli::RecordFigures all = cli::read_records(files, machine);
  REQUIRE(all.roofline);
  REQUIRE(all.roofline->points.size() == 1);  // b has no FLOPs
  const reports::Roofline::Point& point = all.roofline->points.front();
  CHECK(point.intensity.value == doctest::Approx(500));    // 1e12 / (1e9 + 1e9), as counted
  CHECK(point.predicted.value == doctest::Approx(1e15));   // 1e12 / 1 ms
  CHECK(point.measured.value == doctest::Approx(0.5e15));  // 1e12 / 2 ms
  CHECK(all.scatters.size() == 4);

  const cli::RecordFigures some =
      cli::read_records(files, machine, {.quantities = {"HBM read"}, .kernels = {"b"}});
  CHECK_FALSE(some.roofline);
  REQUIRE(some.scatters.size() == 1);
  REQUIRE(some.scatters.front().groups.size() == 1);
  CHECK(some.scatters.front().groups.front().at.front().predicted == doctest::Approx(2));  // MB
  CHECK_THROWS_AS(cli::read_records(files, machine, {.quantities = {}, .kernels = {"c"}}),
                  UserError);
  std::filesystem::remove(path);
}
