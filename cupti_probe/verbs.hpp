// The verbs of kvroof-probe, one file each. A verb returns its exit code:
// 0 fine, 1 the answer is no.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "kernels/bench.hpp"
#include "kernels/case.hpp"

namespace kvroof::probe {

/// The hardware profile that a verb works with: an id, or a file instead.
struct ProfileChoice {
  std::string id, file;
};
/// Its file; throws UserError for an unknown id.
std::string profile_file(const ProfileChoice&);

struct CeilingsOptions {
  std::string write, csv;         // profile to update; record to write
  std::vector<std::string> only;  // groups of ceilings; empty: all
  bool counters = true;
};
int ceilings(const CeilingsOptions& options, const std::string& command);

struct ValidateOptions {
  ProfileChoice profile;
  std::vector<std::string> kernels;  // empty: the catalogue without the ceilings' own load kernels
  std::string part = "both";         // both | ceilings | kernels
  std::string fits;                  // constants of each kernel, as calibrate writes them
  std::string csv;
  std::string report;  // figures drawn from the record in `csv`: .svg, .png, .pdf, .html
  bool counters = true, verify = false;
  bool brief = false;  // one group of counters: times and HBM reads, all that calibrate needs
};
int validate(const ValidateOptions& options, const std::string& command);

struct CalibrateOptions {
  ProfileChoice profile;
  std::vector<std::string> records;  // of validate
  std::vector<std::string> kernels;  // these only; empty: all
  std::string write;                 // the file for validate --fits
  bool shapes = false;               // print predicted | measured of each shape
};
int calibrate(const CalibrateOptions& options, const std::string& command);

struct SeedsOptions {
  std::string csv;
  std::vector<std::string> only;  // names of seeds; empty: all
  bool counters = true;
};
int seeds(const SeedsOptions& options, const std::string& command);

struct LadderOptions {
  ProfileChoice profile;
  std::string fits;  // constants of each kernel, as calibrate writes them
  double tokens = 16384;
  std::string csv, report;
  bool counters = true;
};
int ladder(const LadderOptions& options, const std::string& command);

struct StepOptions {
  std::string llm;  // an id, or a config.json
  ProfileChoice profile;
  std::string fits;      // constants of each kernel, as calibrate writes them
  bool prefill = false;  // whole prompts; else one new token each
  int batch = 0;         // 0: 32 in a decode step, 1 in a prefill
  int context = 8192;
  int layers = 0;  // 0: as many as the network has
  bool fused = true, counters = true;
  std::string csv;
};
int step(const StepOptions& options, const std::string& command);

struct PowerOptions {
  ProfileChoice profile;
  std::string record, csv, write;    // to fit without a GPU; to write; profile to update
  std::vector<std::string> counted;  // records of validate: clocks of rested launches
  std::vector<std::string> kernels;  // "gemm_bf16:m=8192:n=8192:k=8192"; empty: a list of its own
  double window = 0.7;               // seconds measured of each
};
int power(const PowerOptions& options, const std::string& command);

struct LinkOptions {
  ProfileChoice profile;
  int gpus = 0;  // 0: all, at most 8
  std::string csv;
};
int link(const LinkOptions& options, const std::string& command);

struct ProfileKernelOptions {
  std::string kernel, group = "roofline", csv;
  std::vector<std::string> set;  // key=value
  kernels::L2 l2 = kernels::L2::cold;
  bool whole = false;
  int launches = 5;
  bool counters = true;
};
int profile_kernel(const ProfileKernelOptions& options, const std::string& command);

int list_kernels();

struct ShowGroupsOptions {
  std::string chip, group;
};
int show_groups(const ShowGroupsOptions& options);

/// The catalogue entry; throws UserError naming the nearest ones.
const kernels::Entry& entry_named(const std::string& name);

/// The entry at arguments that a user gave; throws UserError for those its kernel refuses.
kernels::Case case_of(const kernels::Entry& entry, const kernels::Args& args);

/// "s_kv=8192" over the entry's first shape. Throws UserError for a bad pair.
kernels::Args args_with(const kernels::Entry& entry, const std::vector<std::string>& set);

/// A line on stderr: what is at work.
void progress(const std::string& what);

/// Throws UserError for an ending that figures are not written with: now, not after the GPU has
/// worked for minutes. Empty: no report.
void check_report(const std::string& file);

/// "b=4 s_kv=8192", for records.
std::string text_of(const kernels::Args& args);

}  // namespace kvroof::probe
