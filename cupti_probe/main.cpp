// kvroof-probe: the GPU side. Facts about kernels and chips; predictions come from model/.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "cupti_probe/error.hpp"
#include "cupti_probe/verbs.hpp"
#include "kernels/device.hpp"
#include "scenarios/cli/suggest.hpp"

namespace {

constexpr const char* kWelcome =
    R"(kvroof-probe - what this GPU and our kernels do, counted and timed

  kvroof-probe ceilings --csv ceilings.csv                what HBM, L2, tensor cores and launches deliver
  kvroof-probe ceilings --write hw_profiles/my-gpu.yaml   and put it into a profile
  kvroof-probe validate --hardware h200-sxm-141gb         profile and kernels: predicted, counted, timed
  kvroof-probe list                                       the kernels of the catalogue
  kvroof-probe profile-kernel flash_v3 --group pipes      one of them under one metric group
  kvroof-probe step llama-3.1-8b --hardware h200-sxm-141gb    a decode step of a real network

Without a GPU: list, groups, calibrate. kvroof-probe --help lists every verb; VERB --help its options.
)";

enum Exit { kFine = 0, kNo = 1, kBadUsage = 2, kInternal = 70, kNothingToMeasure = 77 };

/// The command line as typed, for records; the program's folder is left out.
std::string command_line(int argc, char** argv) {
  std::string line = "kvroof-probe";
  for (int i = 1; i < argc; ++i) line.append(" ").append(argv[i]);
  return line;
}

/// --cold and --warm for verbs that launch kernels.
void add_l2(CLI::App* verb, kvroof::kernels::L2& l2) {
  auto* cold = verb->add_flag_callback(
      "--cold", [&l2] { l2 = kvroof::kernels::L2::cold; },
      "flush L2 with clean data before each launch (default)");
  verb->add_flag_callback(
          "--warm", [&l2] { l2 = kvroof::kernels::L2::warm; }, "launches follow one another")
      ->excludes(cold);
}

/// --hardware ID or --profile FILE, one of which is needed.
void add_profile(CLI::App* verb, kvroof::probe::ProfileChoice& choice) {
  auto* id = verb->add_option("--hardware", choice.id, "profile id (h200-sxm-141gb)");
  verb->add_option("--profile", choice.file, "profile file instead of an id")
      ->check(CLI::ExistingFile)
      ->excludes(id);
  verb->parse_complete_callback([verb, &choice] {
    if (choice.id.empty() && choice.file.empty())
      throw kvroof::UserError(verb->get_name() + ": --hardware ID or --profile FILE is needed");
  });
}

int run(int argc, char** argv) {
  using namespace kvroof::probe;
  CLI::App app{"kvroof-probe: what this GPU and our kernels do, counted and timed", "kvroof-probe"};
  app.set_version_flag("--version", KVROOF_VERSION);
  app.require_subcommand(0, 1);
  const std::string command = command_line(argc, argv);
  int code = kFine;

  app.add_subcommand("list", "the kernels of the catalogue")->callback([&] {
    code = list_kernels();
  });

  ShowGroupsOptions groups;
  CLI::App* verb = app.add_subcommand("groups", "metric groups; with a name, one of them in full");
  verb->add_option("GROUP", groups.group, "a built-in group, or the path of a group file");
  verb->add_option("--chip", groups.chip, "CUPTI's name of the chip (default GH100)");
  verb->callback([&] { code = show_groups(groups); });

  CeilingsOptions ceiling;
  bool timing_only = false;
  verb = app.add_subcommand("ceilings", "measure HBM, L2, shared memory, tensor cores, launches");
  verb->add_option("--write", ceiling.write, "fill the measured block of this hardware profile")
      ->check(CLI::ExistingFile);
  verb->add_option("--csv", ceiling.csv, "write a record");
  verb->add_option("--only", ceiling.only, "groups: launch, hbm, l2, tensor, …")->delimiter(',');
  verb->add_flag("--no-counters", timing_only, "times only: nothing confirms the work");
  verb->callback([&] {
    ceiling.counters = !timing_only;
    code = ceilings(ceiling, command);
  });

  ValidateOptions check;
  verb = app.add_subcommand("validate", "a hardware profile and our kernels against this GPU");
  add_profile(verb, check.profile);
  verb->add_option("--kernels", check.kernels, "these kernels only")->delimiter(',');
  verb->add_option("--part", check.part, "ceilings, kernels or both")
      ->check(CLI::IsMember({"both", "ceilings", "kernels"}));
  auto* record = verb->add_option("--csv", check.csv, "write a record");
  verb->add_option("--report", check.report, "draw the record: .svg, .png, .pdf or .html")
      ->needs(record);
  verb->add_option("--fits", check.fits, "times by these constants (kvroof-probe calibrate)")
      ->check(CLI::ExistingFile);
  verb->add_flag("--verify", check.verify, "check each kernel against its CPU oracle first");
  verb->add_flag("--no-counters", timing_only, "times only");
  verb->add_flag("--brief", check.brief, "times and HBM reads of kernels only, for calibrate");
  verb->callback([&] {
    check.counters = !timing_only;
    code = validate(check, command);
  });

  CalibrateOptions fit;
  verb = app.add_subcommand("calibrate", "what our kernels reach, fitted on records of validate");
  add_profile(verb, fit.profile);
  verb->add_option("--csv", fit.records, "records of kvroof-probe validate")
      ->required()
      ->check(CLI::ExistingFile);
  verb->add_option("--kernels", fit.kernels, "these kernels only")->delimiter(',');
  verb->add_option("--write", fit.write, "write the constants for validate --fits");
  verb->add_flag("--shapes", fit.shapes, "print predicted and measured times of each shape");
  verb->callback([&] { code = calibrate(fit, command); });

  SeedsOptions seed;
  verb =
      app.add_subcommand("seeds", "the field's founding results, measured here beside the papers");
  verb->add_option("--csv", seed.csv, "write a record");
  verb->add_option("--only", seed.only, "these seeds only, by their printed names");
  verb->add_flag("--no-counters", timing_only, "times only");
  verb->callback([&] {
    seed.counters = !timing_only;
    code = seeds(seed, command);
  });

  ProfileKernelOptions profile;
  verb = app.add_subcommand("profile-kernel", "one kernel under one metric group, as facts");
  verb->add_option("KERNEL", profile.kernel, "a name from kvroof-probe list")->required();
  verb->add_option("--group", profile.group, "metric group or path of a group file (roofline)");
  verb->add_option("--set", profile.set, "name=number over the kernel's first shape");
  verb->add_option("--launches", profile.launches, "launches to count (5)")
      ->check(CLI::Range(1, 1000));
  verb->add_option("--csv", profile.csv, "write a record");
  verb->add_flag("--whole", profile.whole, "count one whole range (graphs): counts, no times");
  verb->add_flag("--no-counters", timing_only, "times from events only");
  add_l2(verb, profile.l2);
  verb->callback([&] {
    profile.counters = !timing_only;
    code = profile_kernel(profile, command);
  });

  StepOptions whole;
  verb = app.add_subcommand("step",
                            "a decode step or a prefill of a real network, predicted and measured");
  verb->add_option("LLM", whole.llm, "network id, or config.json (llama-3.1-8b)")->required();
  add_profile(verb, whole.profile);
  verb->add_flag("--prefill", whole.prefill, "whole prompts instead of one new token each");
  verb->add_option("--batch", whole.batch, "requests (32, of a prefill 1)")
      ->check(CLI::Range(1, 4096));
  verb->add_option("--context", whole.context, "tokens of each request, new ones included (8192)")
      ->check(CLI::Range(1, 1 << 20));
  verb->add_option("--layers", whole.layers, "only so many layers, where not all fit")
      ->check(CLI::Range(1, 1000));
  verb->add_option("--fits", whole.fits, "times by these constants (kvroof-probe calibrate)")
      ->check(CLI::ExistingFile);
  verb->add_flag("!--unfused", whole.fused, "norms, RoPE and SwiGLU as two kernels each");
  verb->add_option("--csv", whole.csv, "write a record");
  verb->add_flag("--no-counters", timing_only, "times only");
  verb->callback([&] {
    whole.counters = !timing_only;
    code = step(whole, command);
  });

  PowerOptions draw;
  verb = app.add_subcommand("power", "what units draw, and the clock that the power limit leaves");
  add_profile(verb, draw.profile);
  verb->add_option("--kernels", draw.kernels, "beside the loads: NAME or NAME:key=number:…")
      ->delimiter(',');
  verb->add_option("--window", draw.window, "seconds measured of each (0.7)")
      ->check(CLI::Range(0.5, 10.0));
  auto* csv = verb->add_option("--csv", draw.csv, "write a record");
  verb->add_option("--record", draw.record, "fit this record instead of measuring: needs no GPU")
      ->check(CLI::ExistingFile)
      ->excludes(csv);
  verb->add_option("--counted", draw.counted, "records of validate, for clocks of rested launches")
      ->check(CLI::ExistingFile);
  verb->add_option("--write", draw.write, "fill the power block of this hardware profile")
      ->check(CLI::ExistingFile);
  verb->callback([&] { code = power(draw, command); });

  LinkOptions wire;
  verb = app.add_subcommand("link", "copies and all-reduces among this machine's GPUs");
  add_profile(verb, wire.profile);
  verb->add_option("--gpus", wire.gpus, "so many of them (all)")->check(CLI::Range(2, 8));
  verb->add_option("--csv", wire.csv, "write a record");
  verb->callback([&] { code = link(wire, command); });

  LadderOptions rungs;
  verb = app.add_subcommand("ladder", "naive attention to FlashAttention-3, rung by rung");
  add_profile(verb, rungs.profile);
  verb->add_option("--fits", rungs.fits, "times by these constants (kvroof-probe calibrate)")
      ->check(CLI::ExistingFile);
  verb->add_option("--tokens", rungs.tokens, "of the one request (16384)")
      ->check(CLI::Range(256, 65536));
  verb->add_option("--csv", rungs.csv, "write a record");
  verb->add_option("--report", rungs.report, "draw it: .svg, .png, .pdf or .html");
  verb->add_flag("--no-counters", timing_only, "times only");
  verb->callback([&] {
    rungs.counters = !timing_only;
    code = ladder(rungs, command);
  });

  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) std::fputs(kWelcome, stdout);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
    std::fprintf(stderr, "kvroof-probe: %s\n",
                 kvroof::cli::explain_parse_error(app, e, argc, argv).c_str());
    return kBadUsage;
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const kvroof::probe::Unavailable& e) {
    std::fprintf(stderr, "kvroof-probe: %s. Remedy: %s.\n", e.what(), e.remedy.c_str());
    return kNothingToMeasure;
  } catch (const kvroof::kernels::NotOnThisGpu& e) {
    std::fprintf(stderr, "kvroof-probe: %s\n", e.what());
    return kNothingToMeasure;
  } catch (const kvroof::UserError& e) {
    std::fprintf(stderr, "kvroof-probe: %s\n", e.what());
    return kBadUsage;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "kvroof-probe: %s\nThis is a fault of the program; please report it.\n",
                 e.what());
    return kInternal;
  }
}
