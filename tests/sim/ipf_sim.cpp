// ipf_sim: runs the simulation for one seed or many, and says how to run a failure again.
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "sim/simulation.hpp"

namespace {

using ipf::sim::Canary;
using ipf::sim::SimOptions;

struct Arguments {
  std::uint64_t seed{1};
  std::uint64_t seeds{1};
  std::string scenario{"random"};
  std::optional<std::uint32_t> engines{};
  std::optional<std::uint32_t> tasks{};
  std::string canary{"none"};
  bool verbose{false};
  double seconds{0};  ///< stop after this time; 0: no limit
};

/// The command that runs this seed again; kept for the handler of SIGABRT, which must not allocate.
std::array<char, 512> reproduce{};

void name_run(const Arguments& arguments, std::uint64_t seed) {
  std::string text = "ipf_sim --seed " + std::to_string(seed) + " --scenario " + arguments.scenario;
  text += arguments.engines ? " --engines " + std::to_string(*arguments.engines) : "";
  text += arguments.tasks ? " --tasks " + std::to_string(*arguments.tasks) : "";
  text += arguments.canary == "none" ? "" : " --canary " + arguments.canary;
  std::snprintf(reproduce.data(), reproduce.size(), "%s", text.c_str());
}

/// A broken invariant ends the process; without this line nobody knew the seed.
void on_abort(int /*signal*/) {
  constexpr std::array<char, 13> begin{"reproduce:  "};
  const auto length = std::find(reproduce.begin(), reproduce.end(), '\0') - reproduce.begin();
  [[maybe_unused]] auto written = write(STDERR_FILENO, begin.data(), begin.size() - 1);
  written = write(STDERR_FILENO, reproduce.data(), static_cast<std::size_t>(length));
  written = write(STDERR_FILENO, "\n", 1);
  _exit(1);
}

std::optional<Canary> parse_canary(const std::string& text) {
  for (int i = 0; i <= static_cast<int>(ipf::sim::last_canary); ++i) {
    if (text == canary_text(static_cast<Canary>(i))) {
      return static_cast<Canary>(i);
    }
  }
  return std::nullopt;
}

SimOptions options_for(const Arguments& arguments, std::uint64_t seed, Canary canary) {
  SimOptions out =
      arguments.scenario == "big" ? ipf::sim::big_options(seed) : ipf::sim::random_options(seed);
  out.engines = arguments.engines.value_or(out.engines);
  out.tasks = arguments.tasks.value_or(out.tasks);
  out.canary = canary;
  out.verbose = arguments.verbose;
  return out;
}

int run(const Arguments& arguments, Canary canary) {
  std::signal(SIGABRT, on_abort);
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&start] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::uint64_t tasks = 0;
  std::uint64_t steps = 0;
  std::uint64_t done = 0;
  for (std::uint64_t seed = arguments.seed; seed < arguments.seed + arguments.seeds; ++seed) {
    const SimOptions options = options_for(arguments, seed, canary);
    name_run(arguments, seed);
    if (arguments.seeds == 1) {
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed),
                  describe(options).c_str());
      std::fflush(stdout);
    }
    const auto report = ipf::sim::Simulation(options).run();
    if (!report.passed) {
      std::printf("FAILED seed %llu: %s\nfailure: %s\nreproduce: %s\n",
                  static_cast<unsigned long long>(seed), describe(options).c_str(),
                  report.failure.c_str(), reproduce.data());
      return 1;
    }
    if (arguments.seeds == 1) {
      std::printf(
          "passed: %u tasks (%u succeeded, %u lost by restarts), %llu steps, %.3f simulated "
          "seconds, digest %016llx\n",
          report.tasks, report.succeeded, report.lost,
          static_cast<unsigned long long>(report.steps), report.seconds,
          static_cast<unsigned long long>(report.digest));
    }
    tasks += report.tasks;
    steps += report.steps;
    ++done;
    if (arguments.seconds > 0 && elapsed() > arguments.seconds) {
      break;
    }
  }
  std::printf(
      "%llu seeds from %llu passed: %llu tasks, %llu steps in %.1f s\n",
      static_cast<unsigned long long>(done), static_cast<unsigned long long>(arguments.seed),
      static_cast<unsigned long long>(tasks), static_cast<unsigned long long>(steps), elapsed());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{"Runs the controller's machines under a simulated network, clock and store."};
  app.add_option("--seed", arguments.seed, "the seed, or the first of several")
      ->capture_default_str();
  app.add_option("--seeds", arguments.seeds, "how many seeds, one after the other")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--scenario", arguments.scenario,
                 "random (all options are drawn from the seed) or big (10,000 engines, 1,000,000 "
                 "tasks)")
      ->capture_default_str()
      ->check(CLI::IsMember({"random", "big"}));
  app.add_option("--engines", arguments.engines, "instead of the scenario's number")
      ->check(CLI::Range(1U, 100'000U));
  app.add_option("--tasks", arguments.tasks, "instead of the scenario's number")
      ->check(CLI::Range(1U, 100'000'000U));
  app.add_option("--seconds", arguments.seconds, "begin no new seed after this time");
  app.add_option("--canary", arguments.canary, "break a machine on purpose: the run must fail")
      ->capture_default_str();
  app.add_flag("--verbose", arguments.verbose, "print each event");
  CLI11_PARSE(app, argc, argv);
  const auto canary = parse_canary(arguments.canary);
  if (!canary) {
    std::fprintf(stderr, "ipf_sim: there is no canary '%s'\n", arguments.canary.c_str());
    return 2;
  }
  return run(arguments, *canary);
}
