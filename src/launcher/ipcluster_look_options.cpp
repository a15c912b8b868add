#include "launcher/ipcluster_look_options.hpp"

#include <CLI/CLI.hpp>

namespace ipf {

namespace {

constexpr const char* top_help = R"(Examples:
  ipcluster top                            redrawn every two seconds; q or Ctrl-C ends it
  ipcluster top --interval=0.5 --profile=big
  ipcluster top --once                     one table, as when the output is no terminal
  ipcluster top --json                     one JSON object on a line for each interval

A controller that does not answer is shown as such and tried again for --timeout seconds.

Exit codes: 0 ended by the user or --once, 1 no answer from the controller, 2 wrong command line)";

constexpr const char* doctor_help = R"(Examples:
  ipcluster doctor                         this host, and the cluster of the default profile if one runs
  ipcluster doctor --engines=slurm         before the first start on a batch system
  ipcluster doctor --json --timeout=5

Each check is one line: ok, warn or FAIL, what was checked, what was found; below it what to do.
No key is ever shown.

Exit codes: 0 all well (warnings allowed), 1 something failed, 2 wrong command line)";

constexpr double seconds_min = 0.05;
constexpr double seconds_max = 3600;

}  // namespace

CLI::App& add_top(CLI::App& app, TopCommand& to) {
  CLI::App* const top = app.add_subcommand("top", "Watch engines, queues, rates and memory");
  top->add_option("-i,--interval", to.interval_seconds, "Seconds between two looks (default: 2)")
      ->check(CLI::Range(seconds_min, seconds_max));
  top->add_option("--timeout", to.timeout_seconds,
                  "Seconds to go on without an answer of the controller (default: 15)")
      ->check(CLI::Range(seconds_min, seconds_max));
  constexpr int count_max = 1'000'000'000;
  top->add_option("--count", to.count, "End after so many looks")->check(CLI::Range(1, count_max));
  top->add_flag("--once", to.once, "Print one table and end");
  top->add_flag("--json", to.json, "Print a JSON object on a line for each look");
  top->footer(top_help);
  return *top;
}

CLI::App& add_doctor(CLI::App& app, DoctorCommand& to) {
  CLI::App* const doctor =
      app.add_subcommand("doctor", "Examine this host and the cluster, and name what to do");
  doctor
      ->add_option("--timeout", to.timeout_seconds,
                   "Seconds that each step may wait for the network (default: 10)")
      ->check(CLI::Range(seconds_min, seconds_max));
  doctor->add_flag("--json", to.json, "Print the findings as one JSON object");
  doctor->add_option("--controller", to.controller_launcher,
                     "Launcher whose commands are looked for (default: the cluster's, else local)");
  doctor->add_option("--engines", to.engine_launcher, "Likewise for the engines");
  doctor->footer(doctor_help);
  return *doctor;
}

}  // namespace ipf
