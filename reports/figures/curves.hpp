// Figures of curves over one quantity: KV cache and cost over context, latency over load, Pareto.
#pragma once
#include <string>
#include <vector>

#include "model/units.hpp"
#include "reports/figures/details.hpp"

namespace kvroof::reports {

/// KV cache of a request (or a batch) against its context, with what each GPU leaves for it.
struct KvContext {
  struct Curve {
    std::string name;  // "batch 16, bf16"
    struct At {
      Tokens context;
      Bytes kv;
    };
    std::vector<At> at;  // ascending context
  };
  struct Capacity {
    std::string gpu;
    Bytes kv;  // free for KV on that deployment
  };
  Caption caption;
  std::vector<Curve> curves;
  std::vector<Capacity> capacities;
};
Scene scene(const KvContext& f, Canvas canvas = {});
DataTable data_table(const KvContext& f);
/// Context at which a curve reaches the capacity (log-log interpolation, exact for a power law);
/// 0 tokens if it starts above, the last context if it never does.
Tokens crossing(const KvContext::Curve& c, Bytes capacity);

/// Throughput of a GPU against speed for a user: what more users cost each of them.
struct Pareto {
  struct At {
    TokenRate per_user, per_gpu;  // output tokens
    std::string label;            // "TP4, batch 64"
    Details details;
  };
  struct Series {
    std::string name;
    std::vector<At> at;
  };
  Caption caption;
  std::vector<Series> series;
};
Scene scene(const Pareto& f, Canvas canvas = {});
DataTable data_table(const Pareto& f);
/// Indices of the points that no other beats in both, by rising speed for the user.
std::vector<std::size_t> frontier(const std::vector<Pareto::At>& at);

/// TTFT and TPOT against load: medians solid, p99 dashed, the SLO as a line.
struct LoadCurve {
  struct At {
    double load = 0;  // requests per second, or concurrent requests: see load_title
    Seconds ttft_p50, ttft_p99, tpot_p50, tpot_p99;  // p99 0: unknown
    Details details;
  };
  struct Series {
    std::string name;
    std::vector<At> at;  // ascending load
  };
  Caption caption;
  std::string load_title;  // "request rate  [requests/s]"
  std::vector<Series> series;
  Seconds ttft_slo, tpot_slo;  // 0: none
  std::string middle = "p50";  // what ttft_p50 and tpot_p50 hold: "mean" where no more is known
};
Scene scene(const LoadCurve& f, Canvas canvas = {});
DataTable data_table(const LoadCurve& f);

/// Dollars per million output tokens against context.
struct CostContext {
  struct At {
    Tokens context;
    double usd_per_million = 0;
    Details details;
  };
  struct Series {
    std::string name;
    std::vector<At> at;
  };
  Caption caption;
  std::vector<Series> series;
};
Scene scene(const CostContext& f, Canvas canvas = {});
DataTable data_table(const CostContext& f);

}  // namespace kvroof::reports
