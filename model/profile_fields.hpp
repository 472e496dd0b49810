// The field table of hardware profiles; see fields.hpp.
#pragma once
#include "model/profile.hpp"

namespace kvroof {

template <class V, class T>
void fields(V& v, Figure<T>& f) {
  v("value", f.value, {.doc = "the figure with its unit, or null: unknown"});
  v("source", f.source,
    {.doc = "where it was published or how it was measured", .automatic = "null"});
}

template <class V>
void fields(V& v, Datasheet& d) {
  v("fp32", d.fp32, {.doc = "FP32 outside the tensor cores"});
  v("tf32", d.tf32, {.doc = "dense tensor peak"});
  v("bf16", d.bf16, {.doc = "dense tensor peak, FP32 accumulation; sparse headlines are halved"});
  v("fp16", d.fp16, {.doc = "dense tensor peak, FP32 accumulation"});
  v("fp8", d.fp8, {.doc = "dense tensor peak; 0 FLOP/s where the unit does not exist"});
  v("int8", d.int8, {.doc = "dense tensor peak, in operations"});
  v("fp4", d.fp4, {.doc = "dense tensor peak of NVFP4 and MXFP4"});
  v("hbm_bandwidth", d.hbm_bandwidth, {.doc = "device memory, 1 TB/s = 1e12 B/s"});
  v("memory", d.memory,
    {.doc = "device memory as sold; what the driver reports stands in `measured`"});
  v("l2", d.l2, {.doc = "L2 as the device reports it"});
  v("smem_per_sm", d.smem_per_sm, {.doc = "shared memory of one SM"});
  v("smem_per_block", d.smem_per_block, {.doc = "shared memory one thread block may use"});
  v("num_sms", d.num_sms, {.doc = "enabled streaming multiprocessors", .min = 1});
  v("tensor_clock", d.tensor_clock, {.doc = "SM clock at which the tensor peaks hold"});
  v("boost_clock", d.boost_clock, {.doc = "maximum SM clock"});
  v("power", d.power, {.doc = "board power limit"});
  v("nvlink", d.nvlink, {.doc = "all links of one GPU, per direction"});
  v("pcie", d.pcie, {.doc = "per direction, after line coding"});
  v("nic", d.nic, {.doc = "network per GPU, per direction"});
  v("nvlink_domain", d.nvlink_domain,
    {.doc = "GPUs that reach each other over NVLink; 1: none", .min = 1});
}

template <class V>
void fields(V& v, Rates& r) {
  v("exp_per_sm_clock", r.exp_per_sm_clock,
    {.doc = "exponentials (MUFU.EX2) per SM and clock", .min = 0});
  v("smem_bytes_per_sm_clock", r.smem_bytes_per_sm_clock,
    {.doc = "shared-memory bytes per SM and clock", .min = 0});
  v("mma_sync_share", r.mma_sync_share,
    {.doc = "peak of mma.sync over the peak of the newest tensor instruction", .min = 0, .max = 1});
}

template <class V>
void fields(V& v, Measured& m) {
  v("device", m.device, {.doc = "name of the GPU that was measured", .automatic = "null"});
  v("driver", m.driver, {.doc = "driver version", .automatic = "null"});
  v("cuda", m.cuda, {.doc = "CUDA version", .automatic = "null"});
  v("date", m.date, {.doc = "day of the measurement", .automatic = "null"});
  v("hbm_read", m.hbm_read, {.doc = "read-only stream"});
  v("hbm_write", m.hbm_write, {.doc = "write-only stream"});
  v("hbm_copy", m.hbm_copy, {.doc = "copy, reads and writes added"});
  v("l2_read", m.l2_read, {.doc = "L2 to SMs, working set inside L2"});
  v("smem", m.smem, {.doc = "shared memory of all SMs, as operand feed of the tensor cores"});
  v("fp32", m.fp32, {.doc = "FMA loop"});
  v("tf32", m.tf32, {.doc = "tensor loop"});
  v("bf16", m.bf16, {.doc = "tensor loop of the newest instruction (wgmma, tcgen05)"});
  v("fp16", m.fp16, {.doc = "tensor loop"});
  v("fp8", m.fp8, {.doc = "tensor loop"});
  v("int8", m.int8, {.doc = "tensor loop"});
  v("fp4", m.fp4, {.doc = "tensor loop"});
  v("bf16_mma_sync", m.bf16_mma_sync, {.doc = "tensor loop through mma.sync"});
  v("exps_per_second", m.exps_per_second, {.doc = "MUFU.EX2 of the whole GPU", .min = 0});
  v("memory", m.memory, {.doc = "device memory as the driver reports it"});
  v("l2_effective", m.l2_effective, {.doc = "footprint at which streamed reads begin to miss L2"});
  v("tensor_clock", m.tensor_clock, {.doc = "SM clock while the tensor loops ran"});
  v("boost_clock", m.boost_clock, {.doc = "SM clock of light loads"});
  v("launch_stream", m.launch_stream, {.doc = "period of back-to-back launches from the host"});
  v("launch_graph_node", m.launch_graph_node,
    {.doc = "period of chained empty nodes inside a graph"});
  v("launch_graph", m.launch_graph, {.doc = "host cost of one graph launch"});
  v("grid_barrier", m.grid_barrier, {.doc = "grid-wide barrier of a persistent kernel"});
  v("l2_latency", m.l2_latency, {.doc = "dependent loads that hit the near L2 partition"});
  v("hbm_latency", m.hbm_latency, {.doc = "dependent loads that miss L2"});
  v("pcie_to_device", m.pcie_to_device, {.doc = "pinned host memory to device"});
  v("pcie_from_device", m.pcie_from_device, {.doc = "device to pinned host memory"});
  v("nvlink", m.nvlink, {.doc = "peer copy, one direction"});
}

template <class V>
void fields(V& v, PowerFigures& p) {
  v("held", p.held, {.doc = "mean draw that the governor keeps under its limit"});
  v("idle", p.idle, {.doc = "draw of a GPU without work"});
  v("clocked", p.clocked,
    {.doc = "what work adds before any unit does some, at the fastest clock"});
  v("voltage_slope", p.voltage_slope,
    {.doc = "relative fall of the voltage over that of the clock", .min = 0, .max = 2});
  v("bf16", p.bf16, {.doc = "tensor cores, a FLOP, without its operands' way"});
  v("fp16", p.fp16, {.doc = "tensor cores, a FLOP"});
  v("fp8", p.fp8, {.doc = "tensor cores, a FLOP"});
  v("bf16_mma_sync", p.bf16_mma_sync, {.doc = "tensor cores through mma.sync, a FLOP"});
  v("fp32", p.fp32, {.doc = "FMA pipe, a FLOP"});
  v("hbm_read", p.hbm_read, {.doc = "HBM to L2"});
  v("hbm_write", p.hbm_write, {.doc = "SM to HBM"});
  v("l2_read", p.l2_read, {.doc = "L2 to an SM"});
  v("multicast", p.multicast, {.doc = "the same bytes to a further SM"});
  v("smem", p.smem, {.doc = "through shared memory"});
  v("exponential", p.exponential, {.doc = "one MUFU.EX2"});
  v("knee", p.knee, {.doc = "draw at full voltage up to which a rested launch keeps its clock"});
  v("droop", p.droop, {.doc = "draw beyond the knee that would stop the clock"});
}

template <class V>
void fields(V& v, OpFit& f) {
  v("compute", f.compute,
    {.doc = "share of the datasheet tensor peak", .min = 0, .max = 1, .above_min = true});
  v("memory", f.memory,
    {.doc = "share of the datasheet HBM bandwidth", .min = 0, .max = 1, .above_min = true});
  v("ramp", f.ramp, {.doc = "fixed time of one kernel, launch gap excluded"});
  v("spread", f.spread,
    {.doc = "relative standard deviation of measured over predicted time", .min = 0, .max = 5});
  v("source", f.source, {.doc = "which rows were fitted", .automatic = "null"});
}

template <class V>
void fields(V& v, Fitted& f) {
  v("gemm", f.gemm, {.doc = "dense matrix products"});
  v("moe_gemm", f.moe_gemm, {.doc = "grouped products of routed experts"});
  v("prefill_attention", f.prefill_attention, {.doc = "attention of many new tokens"});
  v("decode_attention", f.decode_attention, {.doc = "attention of one new token per request"});
  v("elementwise", f.elementwise, {.doc = "norms, rotary embedding, activations"});
  v("collective", f.collective, {.doc = "all-reduce and its kin"});
}

template <class V>
void fields(V& v, LinkFit& l) {
  v("efficiency", l.efficiency,
    {.doc = "share of the rate per direction that a collective reaches",
     .min = 0,
     .max = 1,
     .above_min = true});
  v("latency", l.latency, {.doc = "one hop: a write to a peer and its flag seen"});
  v("base", l.base, {.doc = "kernel and synchronisation of one collective"});
  v("in_switch", l.in_switch, {.doc = "whether the switch reduces (NVLS)"});
}

template <class V>
void fields(V& v, Host& h) {
  v("launch_stream", h.launch_stream, {.doc = "period of back-to-back launches from the host"});
  v("launch_graph_node", h.launch_graph_node, {.doc = "period of chained nodes inside a graph"});
  v("launch_graph", h.launch_graph, {.doc = "host cost of one graph launch"});
  v("nvlink", h.nvlink, {.doc = "collectives over NVLink"});
  v("pcie", h.pcie, {.doc = "collectives over PCIe"});
  v("nic", h.nic, {.doc = "transfers over the network"});
}

template <class V>
void fields(V& v, Assumed& a) {
  const Field share{.doc = "", .min = 0, .max = 1, .above_min = true};
  const auto share_of = [&](std::string_view doc) {
    Field f = share;
    f.doc = doc;
    return f;
  };
  v("hbm_share", a.hbm_share,
    share_of("achieved share of HBM bandwidth where nothing was measured"));
  v("tensor_share", a.tensor_share,
    share_of("achieved share of the tensor peaks where nothing was measured"));
  v("fp32_share", a.fp32_share,
    share_of("achieved share of the FP32 peak where nothing was measured"));
  v("exp_per_sm_clock", a.exp_per_sm_clock, {.doc = "exponentials per SM and clock", .min = 0});
  v("l2_effective_share", a.l2_effective_share,
    share_of("share of the reported L2 that streamed data can use"));
  v("gpu_hour_usd", a.gpu_hour_usd,
    {.doc = "price of a GPU-hour: an input, never a fact", .min = 0});
  v("l2_read", a.l2_read, {.doc = "L2 to SMs"});
  v("nvlink", a.nvlink, {.doc = "per direction"});
  v("pcie", a.pcie, {.doc = "per direction"});
  v("nic", a.nic, {.doc = "per GPU and direction"});
  v("launch_stream", a.launch_stream, {.doc = "period of back-to-back launches"});
  v("launch_graph_node", a.launch_graph_node, {.doc = "period of graph nodes"});
  v("launch_graph", a.launch_graph, {.doc = "host cost of one graph launch"});
  v("link_latency", a.link_latency, {.doc = "one hop of a collective"});
  v("link_base", a.link_base, {.doc = "fixed part of a collective"});
  v("link_efficiency", a.link_efficiency, share_of("achieved share of a link"));
  v("tensor_clock", a.tensor_clock, {.doc = "SM clock of the tensor peaks"});
  v("boost_clock", a.boost_clock, {.doc = "maximum SM clock"});
  v("num_sms", a.num_sms, {.doc = "streaming multiprocessors", .min = 1});
  v("memory", a.memory, {.doc = "device memory"});
  v("l2", a.l2, {.doc = "L2 capacity"});
  v("fits", a.fits, {.doc = "op classes without a fit of their own"});
}

template <class V>
void fields(V& v, HardwareProfile& p) {
  v("schema", p.schema, {.doc = "kvroof/hardware/v1", .required = true});
  v("id", p.id, {.doc = "the file's stem, in kebab-case", .required = true});
  v("name", p.name, {.doc = "the product as its vendor writes it", .required = true});
  v("architecture", p.architecture, {.doc = "ampere, ada, hopper or blackwell", .required = true});
  v("note", p.note, {.doc = "what a reader should know", .automatic = "null"});
  v("datasheet", p.datasheet, {.doc = "published peaks, dense, per direction", .required = true});
  v("rates", p.rates, {.doc = "operations per SM and clock"});
  v("measured", p.measured, {.doc = "ceilings measured on a real GPU"});
  v("power", p.power, {.doc = "energies of units, and how the power limit acts"});
  v("fitted", p.fitted, {.doc = "shares and fixed times fitted to published kernel times"});
  v("host", p.host, {.doc = "published launch and link costs"});
  v("assumed", p.assumed, {.doc = "stated guesses, used where nothing better is known"});
}

}  // namespace kvroof
