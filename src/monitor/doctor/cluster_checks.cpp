#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <sstream>
#include <string>

#include "launcher/cluster_file.hpp"
#include "monitor/doctor/checks.hpp"
#include "net/address.hpp"

namespace ipf::doctor {

namespace {

constexpr unsigned others = 077;
constexpr double clock_difference_max_seconds = 5;

void check_record(const Facts& facts, Findings& out) {
  const RecordFacts& record = facts.cluster.record;
  Finding finding{.what = "cluster", .detail = "runs: controller (" + record.controller_kind + ")"};
  if (!record.problem.empty()) {
    finding = {.verdict = Verdict::fail,
               .what = "cluster",
               .detail = record.problem,
               .fix = "ipcluster clean, if no cluster runs; else remove that file"};
  } else if (!record.exists) {
    finding.detail = facts.cluster.client_file
                         ? "not started by ipcluster: there is a connection file only"
                         : "none runs for this profile; only this host was examined";
    if (!record.other_ids.empty()) {
      finding.detail += "; others are there: --cluster-id=" + record.other_ids.front() +
                        (record.other_ids.size() > 1 ? ", ... (ipcluster list)" : "");
    }
  } else if (record.elsewhere) {
    finding.detail = "started on " + record.machine + ": its processes cannot be seen from here";
  } else if (record.controller_recorded && !record.controller_alive) {
    finding = {.verdict = Verdict::fail,
               .what = "cluster",
               .detail = "the cluster file is stale: its controller does not run any more (" +
                         record.path + ")",
               .fix =
                   "ipcluster stop, then ipcluster clean; the controller's log says why it "
                   "ended"};
  } else if (record.engine_processes_alive < record.engine_processes) {
    finding.verdict = Verdict::warn;
    finding.detail += ", but of " + std::to_string(record.engine_processes) +
                      " engine processes that were started only " +
                      std::to_string(record.engine_processes_alive) + " run";
    finding.fix = "their logs (log/ipengine-*) say why; ipcluster engines -n N starts more";
  } else {
    finding.detail += " and " + std::to_string(record.engine_processes) + " engine processes (" +
                      record.engines_kind + ")";
  }
  out.push_back(std::move(finding));
}

void check_jobs(const Facts& facts, Findings& out) {
  const RecordFacts& record = facts.cluster.record;
  if (!record.jobs_asked) {
    return;
  }
  Finding finding{.what = "jobs", .detail = "what the cluster file names is queued or runs"};
  if (record.jobs_gone) {
    finding = {
        .verdict = Verdict::fail,
        .what = "jobs",
        .detail = "the batch system or host knows nothing any more of what was started there",
        .fix = "its logs (log/) say why it ended; then ipcluster stop"};
  }
  out.push_back(std::move(finding));
}

void check_processes(const Facts& facts, Findings& out) {
  constexpr std::uint64_t tenths_full = 8;
  for (const ProcessFacts& process : facts.cluster.record.processes) {
    const std::string name = process.role + " " + std::to_string(process.pid);
    if (process.stopped) {
      out.push_back({.verdict = Verdict::fail,
                     .what = "process",
                     .detail = name + " was stopped by a signal (SIGSTOP) or a debugger",
                     .fix = "kill -CONT " + std::to_string(process.pid)});
    }
    if (process.descriptors_max > 0 &&
        process.descriptors * 10 > process.descriptors_max * tenths_full) {
      out.push_back({.verdict = Verdict::warn,
                     .what = "process",
                     .detail = name + " has " + std::to_string(process.descriptors) + " of " +
                               std::to_string(process.descriptors_max) + " files open",
                     .fix = "start it with a higher limit (ulimit -Hn)"});
    }
  }
}

Finding judge_file(const ConnectionFileFacts& facts, const std::string& what) {
  const FileFacts& file = facts.file;
  std::ostringstream mode;
  mode << std::setfill('0') << std::setw(4) << std::oct << file.mode;
  Finding out{.what = what,
              .detail = file.path + ", " + mode.str() + ", key of " +
                        std::to_string(facts.key_bytes) + " characters, " + facts.scheme +
                        (facts.curve ? ", encrypted (CURVE)" : "")};
  const auto judge = [&](Verdict verdict, const std::string& detail, const std::string& fix) {
    out = {.verdict = verdict, .what = what, .detail = file.path + ": " + detail, .fix = fix};
  };
  constexpr std::size_t short_key = 16;
  if (!file.problem.empty()) {
    judge(Verdict::fail, file.problem, "run as the user who started the controller");
  } else if ((file.mode & others) != 0) {
    judge(Verdict::fail, "other users may read or change it (" + mode.str() + ") and so its key",
          "chmod 600 " + file.path +
              "; then restart the cluster or give it new keys (guide: security)");
  } else if (!file.mine) {
    judge(Verdict::warn, "belongs to another user, who can read what you send",
          "use a cluster of your own, or be sure that it is meant so");
  } else if (!facts.problem.empty()) {
    judge(Verdict::fail, facts.problem, "copy the whole file again from the controller's host");
  } else if (!facts.unreachable.empty()) {
    judge(Verdict::fail, facts.unreachable,
          "make the name known here (DNS, /etc/hosts), or restart with --location=ADDRESS");
  } else if (facts.key_bytes == 0) {
    judge(Verdict::warn, "no key: messages are not signed",
          "restart the controller without --no-secure");
  } else if (facts.key_bytes < short_key) {
    judge(Verdict::warn, "the key is shorter than 16 characters",
          "use a longer one, or none: then "
          "the controller makes one");
  }
  return out;
}

void check_files(const Facts& facts, Findings& out) {
  const ClusterFacts& cluster = facts.cluster;
  if (cluster.client_file) {
    out.push_back(judge_file(*cluster.client_file, "client file"));
  } else if (cluster.record.running || cluster.engine_file) {
    out.push_back({.verdict = Verdict::fail,
                   .what = "client file",
                   .detail = "there is none, so that no client can connect",
                   .fix = "wait if the cluster is starting; else restart it, and see the "
                          "controller's log"});
  }
  if (cluster.engine_file) {
    out.push_back(judge_file(*cluster.engine_file, "engine file"));
  }
  if (!cluster.keys_agree) {
    out.push_back({.verdict = Verdict::fail,
                   .what = "key",
                   .detail = "client file and engine file bear different keys",
                   .fix = "one is of another start: restart the cluster, or copy both again"});
  }
}

Finding judge_port(const PortFacts& port, const std::string& waited) {
  Finding out{.verdict = Verdict::fail, .what = "port " + port.name};
  switch (port.state) {
    case PortState::refused:
      out.detail = port.url + " refuses: nobody listens there";
      out.fix =
          "the controller has ended, or the file is of another start: ipcluster stop, "
          "ipcluster clean, start again";
      break;
    case PortState::silent:
      out.detail = port.url + " takes connections, but was silent for " + waited;
      out.fix =
          "the controller is stopped (kill -CONT) or overloaded (ipcluster top), or a proxy "
          "is in between";
      break;
    case PortState::foreign:
      out.detail = port.url + ": another program listens there: " + port.detail;
      out.fix = "the file is of another start: restart the cluster, or copy the file again";
      break;
    case PortState::no_way:
      out.detail = port.url + ": " + port.detail;
      out.fix =
          "open the port in the firewall (ipcontroller --ports makes them known), or connect "
          "by ssh";
      break;
    case PortState::answers:
      out.verdict = Verdict::ok;
      break;
  }
  return out;
}

void check_ports_of(const Facts& facts, const std::string& side, bool curve, Findings& out) {
  std::size_t answered = 0;
  Duration slowest{};
  for (const PortFacts& port : facts.cluster.ports) {
    if (!port.name.starts_with(side)) {
      continue;
    }
    Finding finding = judge_port(port, duration_text(facts.timeout));
    if (finding.verdict == Verdict::ok && !port.mechanism.empty() &&
        (port.mechanism == "CURVE") != curve) {
      finding = {.verdict = Verdict::fail,
                 .what = "port " + port.name,
                 .detail = port.url + " wants " + port.mechanism + ", the file says " +
                           (curve ? "CURVE" : "NULL"),
                 .fix = "the file is of another start: copy it again"};
    }
    if (finding.verdict != Verdict::ok) {
      out.push_back(std::move(finding));
      continue;
    }
    ++answered;
    slowest = std::max(slowest, port.took);
  }
  if (answered > 0) {
    out.push_back(
        {.what = side + " ports",
         .detail = std::to_string(answered) + " answer, the slowest in " + duration_text(slowest)});
  }
}

void check_ports(const Facts& facts, Findings& out) {
  const ClusterFacts& cluster = facts.cluster;
  if (cluster.client_file && !cluster.client_file->ssh_server.empty()) {
    out.push_back({.what = "client ports",
                   .detail = "go through ssh (" + cluster.client_file->ssh_server +
                             "); the hub's answer shows whether that works"});
  }
  check_ports_of(facts, "client", cluster.client_file && cluster.client_file->curve, out);
  check_ports_of(facts, "engine", cluster.engine_file && cluster.engine_file->curve, out);
}

void check_location(const Facts& facts, Findings& out) {
  const ClusterFacts& cluster = facts.cluster;
  constexpr std::string_view scheme = "tcp://";
  if (!cluster.engine_file || !cluster.engine_file->interface.starts_with(scheme) ||
      !runs_elsewhere(cluster.record.engines_kind)) {
    return;
  }
  const bool all_there = static_cast<int>(cluster.engines.size()) >= cluster.record.engines_wanted;
  if (!is_loopback(cluster.engine_file->interface.substr(scheme.size())) || all_there) {
    return;
  }
  out.push_back({.verdict = Verdict::fail,
                 .what = "location",
                 .detail = "the controller listens on " + cluster.engine_file->interface +
                           " only, which engines on other hosts (" + cluster.record.engines_kind +
                           ") cannot reach",
                 .fix = "start with --ip='*', and with --location=HOST if its name does not "
                        "resolve there"});
}

void check_hub(const Facts& facts, Findings& out) {
  if (!facts.cluster.hub) {
    return;
  }
  const HubFacts& hub = *facts.cluster.hub;
  constexpr Duration slow = std::chrono::seconds(1);
  Finding finding{.what = "hub"};
  if (!hub.connected && hub.problem == "no answer") {
    finding.verdict = Verdict::fail;
    finding.detail =
        "does not answer within " + duration_text(facts.timeout) + " although its port does";
    finding.fix =
        "the key of the client file is not the controller's (then its log says `wrong "
        "signature`): copy the file again; or it is overloaded: a longer --timeout";
  } else if (!hub.round_trip) {
    finding.verdict = Verdict::fail;
    finding.detail = hub.problem;
    finding.fix = "see the controller's log";
  } else {
    finding.detail = "connected in " + duration_text(hub.connect_time) + ", answers in " +
                     duration_text(*hub.round_trip);
    if (*hub.round_trip > slow) {
      finding.verdict = Verdict::warn;
      finding.fix = "see its load with ipcluster top";
    }
  }
  out.push_back(std::move(finding));
  if (hub.clock_ahead_seconds) {
    out.push_back(clock_finding("clock", "the controller's", *hub.clock_ahead_seconds, 0));
  }
}

void check_figures(const Facts& facts, Findings& out) {
  if (!facts.cluster.hub || !facts.cluster.hub->has_figures) {
    return;
  }
  const HubFacts& hub = *facts.cluster.hub;
  const auto warn = [&out](const char* what, const std::string& detail, const std::string& fix) {
    out.push_back({.verdict = Verdict::warn, .what = what, .detail = detail, .fix = fix});
  };
  if (hub.bad_signatures > 0) {
    warn("signatures",
         std::to_string(hub.bad_signatures) + " messages with a wrong signature were dropped",
         "somebody uses a connection file of another start; the controller's log has the address");
  }
  if (hub.identities_refused > 0) {
    warn("identities",
         std::to_string(hub.identities_refused) + " peers claimed an identity that was taken",
         "two clients or engines use the same id: give --ident to one of them only");
  }
  if (hub.store_failing) {
    out.push_back({.verdict = Verdict::fail,
                   .what = "database",
                   .detail = "the controller cannot write its task records",
                   .fix = "see its log; make room, or start the database again"});
  } else if (hub.store_lost > 0) {
    warn("database", std::to_string(hub.store_lost) + " changes of task records were lost",
         "see the controller's log");
  }
  if (hub.unassigned > 0 && hub.pending > 0) {
    warn("queues", std::to_string(hub.unassigned) + " tasks are without an engine",
         "Client.explain() says what each waits for; more engines: ipcluster engines -n N");
  }
}

void check_hearts(const Facts& facts, Findings& out) {
  if (!facts.cluster.hub || !facts.cluster.hub->has_figures) {
    return;
  }
  const HubFacts& hub = *facts.cluster.hub;
  constexpr double first_beats_seconds = 20;
  if (hub.registering > 0) {
    out.push_back({.verdict = Verdict::warn,
                   .what = "heart beats",
                   .detail = std::to_string(hub.registering) +
                             " engines asked to register and have shown no heart yet",
                   .fix = "if that stays so, the ports hb_ping and hb_pong do not get through"});
  } else if (hub.heartbeats == 0 && !facts.cluster.engines.empty() &&
             hub.uptime_seconds > first_beats_seconds) {
    out.push_back({.verdict = Verdict::warn,
                   .what = "heart beats",
                   .detail = "none was answered yet",
                   .fix = "see that the ports hb_ping and hb_pong get through"});
  } else if (!facts.cluster.engines.empty()) {
    out.push_back({.what = "heart beats",
                   .detail = std::to_string(hub.heartbeats) + " answered since the start"});
  }
}

constexpr std::array<Check, 9> all{check_record, check_jobs,    check_processes,
                                   check_files,  check_ports,   check_location,
                                   check_hub,    check_figures, check_hearts};

}  // namespace

std::span<const Check> cluster_checks() {
  return all;
}

std::string duration_text(Duration duration) {
  const double milliseconds = std::chrono::duration<double, std::milli>(duration).count();
  constexpr double second = 1000;
  constexpr double exact_below = 10;
  std::ostringstream out;
  out << std::fixed << std::setprecision(milliseconds >= second || milliseconds < exact_below);
  if (milliseconds >= second) {
    out << milliseconds / second << " s";
  } else {
    out << milliseconds << " ms";
  }
  return out.str();
}

Finding clock_finding(const std::string& what,
                      const std::string& whose,
                      double ahead_seconds,
                      double error_seconds) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << whose << " differs by "
       << std::max(std::abs(ahead_seconds) - error_seconds, 0.0) << " s from this host's";
  Finding out{.what = what, .detail = text.str()};
  if (std::abs(ahead_seconds) - error_seconds > clock_difference_max_seconds) {
    out.verdict = Verdict::warn;
    out.detail += ahead_seconds > 0 ? ": it is ahead" : ": it is behind";
    out.fix = "set both by NTP (timedatectl, chronyc tracking): times of tasks are wrong else";
  }
  return out;
}

}  // namespace ipf::doctor
