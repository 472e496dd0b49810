// From a command line to what is to be computed: scenario, network, GPU, engine, operating point.
#pragma once
#include <CLI/App.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/hf_config.hpp"
#include "model/predict.hpp"
#include "model/profile.hpp"
#include "model/scenario.hpp"

namespace kvroof::cli {

/// Where a scenario comes from; filled by the options that add_inputs declares.
struct Inputs {
  std::string file;  // empty: everything from flags
  std::map<std::string, std::string>
      flags;                     // key path -> text: serving.tensor_parallel_size -> "8"
  std::vector<std::string> set;  // --set key=value
  std::string engine_args;       // --engine-args "vllm serve …"
  std::vector<std::string> profile_path;
  bool allow_unknown_arch = false;
  bool datasheet_roof = false;  // --roof datasheet
};

/// Declares the scenario argument, a flag for every field of `serving` and `workload`,
/// and the rest.
std::shared_ptr<Inputs> add_inputs(CLI::App& verb);

/// A scenario with everything it names.
struct Resolved {
  Scenario scenario;
  HardwareProfile profile;
  Setup setup;                       // llm and point are empty for a kernel scenario
  std::vector<std::string> assumed;  // defaults and estimates the answer rests on
  std::vector<std::string> warnings;
};

/// Profiles and networks that were read, so that a grid of scenarios reads each file once.
struct Catalog {
  std::map<std::string, HardwareProfile> profiles;  // by file
  std::map<std::string, LlmConfig> llms;            // by id or path, and folder
};

/// The scenario alone; UserError for everything a user can mend.
Scenario read_scenario(const Inputs& inputs, std::vector<std::string>& warnings);
Resolved resolve(const Inputs& inputs);
Resolved resolve(Scenario scenario, const Inputs& inputs, Catalog& catalog);

/// The load a workload stands for, before the engine's limits; an open loop starts from 1 request.
OperatingPoint operating_point(const Workload& workload);

}  // namespace kvroof::cli
