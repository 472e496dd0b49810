// PagedAttention: the cache lies in pages of block_size tokens, found through a block table.
#pragma once
#include "model/attention/split_kv.hpp"

namespace kvroof::attention {

/// Pages of one request: ceil(s_kv / block_size).
double pages(double s_kv, double block_size);
/// Token slots of the last page that hold nothing, 0 .. block_size - 1; (block_size - 1) / 2 on
/// average. They cost memory, not traffic: kernels read no token past s_kv.
double wasted_slots(double s_kv, double block_size);

/// Decode through a block table [b, pages] of 4-byte indices:
///   read     = K/V and q as in gqa_decode + 4·b·pages
///   l2_to_sm = + 4·b·pages per (head or K/V head, row tile)
/// paged_version 1: one block per (request, head) walks the whole cache. Version 2: partitions
/// and a combine kernel; with options.partition tokens each (vLLM: 512) partial results are in the
/// output format beside two fp32 scalars, otherwise split_count decides and they are fp32.
/// packed_group = false: a block per query head, as vLLM's own kernels do: the group reads its K/V
/// h_q / h_kv times from L2, once from HBM. Such kernels use no tensor cores: pass tile.m = 1.
/// Kwon et al. 2023 (arXiv:2309.06180); vllm-project/vllm csrc/attention/paged_attention_v2.cu.
/// Options: tile, block_size, paged_version, partition, splits, packed_group.
Cost paged_decode(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
