#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "monitor/doctor/checks.hpp"
#include "monitor/top/figures_text.hpp"

namespace ipf::doctor {

namespace {

/// More of them are told in one line, as long as they are well.
constexpr std::size_t lines_max = 32;

std::string name_of(const EngineFacts& engine) {
  return "engine " + std::to_string(engine.id);
}

void check_count(const Facts& facts, Findings& out) {
  const ClusterFacts& cluster = facts.cluster;
  if (!cluster.hub || !cluster.hub->round_trip) {
    return;
  }
  const auto registered = static_cast<int>(cluster.engines.size());
  const int wanted = cluster.record.engines_wanted;
  Finding finding{.what = "engines", .detail = std::to_string(registered) + " registered"};
  if (registered < wanted) {
    finding.verdict = Verdict::fail;
    finding.detail += " of " + std::to_string(wanted);
    finding.fix =
        "the logs of the others (log/ipengine-*) say what they wait for; they have to "
        "reach the engine ports at " +
        (cluster.engine_file ? cluster.engine_file->location : std::string("its host")) +
        ". In a queue they are still to come: ipcluster list";
  } else if (registered == 0) {
    finding.verdict = Verdict::warn;
    finding.fix = "ipcluster engines -n 4";
  }
  out.push_back(std::move(finding));
  for (const LogFacts& log : cluster.missing_logs) {
    out.push_back({.verdict = Verdict::warn,
                   .what = "engine log",
                   .detail = "one that is missing ended its log with: " + log.last_line,
                   .fix = "see " + log.path});
  }
}

Finding judge_engine(const EngineFacts& engine, Duration timeout) {
  Finding out{.what = name_of(engine)};
  if (!engine.control) {
    out.verdict = Verdict::fail;
    out.detail = "does not answer on the control channel (" + engine.problem + ", " +
                 duration_text(timeout) + ")";
    out.fix =
        "its process is frozen, or its host is away: see whether it was stopped (kill -CONT) "
        "and its log; the controller gives it up when its heart stays silent";
    return out;
  }
  out.detail = "control " + duration_text(*engine.control);
  if (!engine.call_problem.empty()) {
    out.verdict = Verdict::fail;
    out.detail += ", but a call failed: " + engine.call_problem;
    out.fix = "see its log";
  } else if (!engine.round_trip) {
    out.detail +=
        ", has " + std::to_string(engine.pending) + " calls to do: nothing else was asked";
  } else {
    out.detail += ", call " + duration_text(*engine.round_trip) + ", " + engine.host + ":" +
                  std::to_string(engine.pid) + ", " + engine.implementation + ", Python " +
                  engine.python + ", IPython " + engine.ipython;
  }
  return out;
}

void check_answers(const Facts& facts, Findings& out) {
  std::size_t well = 0;
  const bool fold = facts.cluster.engines.size() > lines_max;
  for (const EngineFacts& engine : facts.cluster.engines) {
    Finding finding = judge_engine(engine, facts.timeout);
    if (fold && finding.verdict == Verdict::ok) {
      ++well;
    } else {
      out.push_back(std::move(finding));
    }
  }
  if (well > 0) {
    out.push_back({.what = "engines", .detail = std::to_string(well) + " answer"});
  }
}

void check_output(const Facts& facts, Findings& out) {
  std::size_t well = 0;
  Duration slowest{};
  for (const EngineFacts& engine : facts.cluster.engines) {
    if (!engine.round_trip || !engine.call_problem.empty()) {
      continue;
    }
    if (engine.output_came) {
      ++well;
      slowest = std::max(slowest, engine.output_time);
    } else {
      out.push_back(
          {.verdict = Verdict::fail,
           .what = name_of(engine) + " output",
           .detail = "what it printed did not arrive within " + duration_text(engine.output_time),
           .fix = "see that the port iopub of the client file and of the engine file "
                  "get through"});
    }
  }
  if (well > 0) {
    out.push_back({.what = "output",
                   .detail = "of " + std::to_string(well) + " engines arrives, the slowest " +
                             duration_text(slowest) + " after the result"});
  }
}

void check_paths(const Facts& facts, Findings& out) {
  for (const PathFacts& path : facts.cluster.paths) {
    Finding finding{.what = path.name, .detail = "a call took " + duration_text(path.round_trip)};
    if (!path.problem.empty()) {
      finding.verdict = Verdict::fail;
      finding.detail = "a call by way of it failed: " + path.problem;
      finding.fix = "see that its port gets through (client file), and the controller's log";
    }
    out.push_back(std::move(finding));
  }
}

void check_clocks(const Facts& facts, Findings& out) {
  std::set<std::string> hosts;
  for (const EngineFacts& engine : facts.cluster.engines) {
    if (!engine.host.empty() && hosts.insert(engine.host).second) {
      out.push_back(clock_finding("clock " + engine.host, "the clock of " + name_of(engine),
                                  engine.clock_ahead_seconds, engine.clock_error_seconds));
    }
  }
}

std::string minor_version(const std::string& version) {
  const std::size_t first = version.find('.');
  return first == std::string::npos ? version : version.substr(0, version.find('.', first + 1));
}

/// "3.11 (engines 0, 1), 3.12 (engine 2)"
std::string groups(const std::map<std::string, std::vector<int>>& engines_by_version) {
  constexpr std::size_t ids_max = 8;
  std::string out;
  for (const auto& [version, ids] : engines_by_version) {
    out += (out.empty() ? "" : ", ") + version + " (";
    for (std::size_t i = 0; i < ids.size() && i < ids_max; ++i) {
      out += (i > 0 ? ", " : "") + std::to_string(ids[i]);
    }
    out += ids.size() > ids_max ? ", ...)" : ")";
  }
  return out;
}

void check_versions(const Facts& facts, Findings& out) {
  std::map<std::string, std::vector<int>> pythons;
  std::map<std::string, std::vector<int>> programs;
  for (const EngineFacts& engine : facts.cluster.engines) {
    if (!engine.python.empty()) {
      pythons[minor_version(engine.python)].push_back(engine.id);
    }
    if (engine.implementation.starts_with("ipyfleet ")) {
      programs[engine.implementation].push_back(engine.id);
    }
  }
  if (pythons.size() > 1) {
    out.push_back({.verdict = Verdict::warn,
                   .what = "versions",
                   .detail = "engines have different Pythons: " + groups(pythons),
                   .fix = "functions that are sent by value may fail between them: start all in "
                          "the same environment (--python)"});
  }
  programs["ipyfleet " + facts.host.own_version];
  if (programs.size() > 1) {
    out.push_back({.verdict = Verdict::warn,
                   .what = "versions",
                   .detail = "engines are of another version than this " + facts.host.own_version +
                             ": " + groups(programs),
                   .fix = "install the same version everywhere and restart the engines"});
  }
}

void check_engine_hosts(const Facts& facts, Findings& out) {
  constexpr std::uint64_t descriptors_needed = 256;
  constexpr std::uint64_t memory_needed = 100U << 20U;
  std::set<std::string> hosts;
  for (const EngineFacts& engine : facts.cluster.engines) {
    if (engine.host.empty() || !hosts.insert(engine.host).second) {
      continue;
    }
    const std::string what = "host " + engine.host;
    const std::size_t before = out.size();
    for (const DiskFacts& disk : engine.disks) {
      if (Finding finding = disk_finding(disk, what); finding.verdict != Verdict::ok) {
        out.push_back(std::move(finding));
      }
    }
    if (engine.descriptors_hard < descriptors_needed) {
      out.push_back({.verdict = Verdict::warn,
                     .what = what,
                     .detail = "engines there may open " + std::to_string(engine.descriptors_hard) +
                               " files only",
                     .fix = "raise the limit (ulimit -Hn) where the engines are started"});
    }
    if (engine.memory_available > 0 && engine.memory_available < memory_needed) {
      out.push_back({.verdict = Verdict::warn,
                     .what = what,
                     .detail = top::bytes_text(static_cast<double>(engine.memory_available)) +
                               " of memory are left",
                     .fix = "start fewer engines there, or bound them with --memory-limit"});
    }
    if (!engine.location_problem.empty()) {
      out.push_back(
          {.verdict = Verdict::warn,
           .what = what,
           .detail = "cannot resolve the controller's location: " + engine.location_problem,
           .fix = "start with --location=ADDRESS, or make the name known there"});
    }
    if (out.size() == before) {
      out.push_back({.what = what,
                     .detail = std::to_string(engine.descriptors_hard) + " open files, " +
                               top::bytes_text(static_cast<double>(engine.memory_available)) +
                               " of memory, " + std::to_string(engine.disks.size()) +
                               " places with room"});
    }
  }
}

constexpr std::array<Check, 7> all{check_count,  check_answers,  check_output,      check_paths,
                                   check_clocks, check_versions, check_engine_hosts};

}  // namespace

std::span<const Check> engine_checks() {
  return all;
}

std::uint64_t engines_expected(const Facts& facts) {
  const auto wanted = static_cast<std::uint64_t>(std::max(facts.cluster.record.engines_wanted, 1));
  return std::max<std::uint64_t>(wanted, facts.cluster.engines.size());
}

}  // namespace ipf::doctor
