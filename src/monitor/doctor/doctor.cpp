#include "monitor/doctor/doctor.hpp"

#include <algorithm>
#include <chrono>
#include <ostream>
#include <utility>

#include "launcher/launcher.hpp"
#include "monitor/doctor/checks.hpp"
#include "monitor/doctor/cluster_probe.hpp"
#include "monitor/doctor/report.hpp"

namespace ipf::doctor {

namespace {

/// A short --timeout is meant for the network; a Python takes its time to start.
constexpr Duration programs_time_min = std::chrono::seconds(15);

/// What the user gave has to be known; what is recorded may be a launcher of somebody's own.
Result<void> check_given(LauncherRole role, std::string& given) {
  if (given.empty()) {
    return {};
  }
  auto name = launcher_short_name(role, given);
  if (name) {
    given = std::move(*name);
  } else if (given.find_first_of(":.") == std::string::npos) {  // else a class of the user's own
    return unexpected(name.error());
  }
  return {};
}

}  // namespace

Findings examine(const Facts& facts) {
  Findings out;
  for (const auto checks : {host_checks(), cluster_checks(), engine_checks()}) {
    for (const Check check : checks) {
      check(facts, out);
    }
  }
  return out;
}

int run_doctor(const DoctorCommand& command,
               const ProfilePaths& paths,
               const std::string& version,
               const PythonFinder& find_python,
               std::ostream& out,
               std::ostream& err) {
  Facts facts{.timeout = std::chrono::duration_cast<Duration>(
                  std::chrono::duration<double>(command.timeout_seconds))};
  std::string controller = command.controller_launcher;
  std::string engines = command.engine_launcher;
  for (const Result<void>& known : {check_given(LauncherRole::controller, controller),
                                    check_given(LauncherRole::engines, engines)}) {
    if (!known) {
      err << "ipcluster: " << known.error().message << '\n';
      return exit_usage;
    }
  }
  facts.cluster = probe_cluster(paths, facts.timeout);
  const RecordFacts& record = facts.cluster.record;
  facts.host =
      probe_host({.paths = paths,
                  .version = version,
                  .controller_launcher = controller.empty() ? record.controller_kind : controller,
                  .engine_launcher = engines.empty() ? record.engines_kind : engines,
                  .controller_settings = command.controller_settings,
                  .engine_settings = command.engine_settings,
                  .find_python = find_python,
                  .timeout = std::max(facts.timeout, programs_time_min)});
  const Findings findings = examine(facts);
  out << (command.json ? json_of(findings) + '\n' : text_of(findings)) << std::flush;
  return exit_code_of(findings);
}

}  // namespace ipf::doctor
