#include "monitor/doctor/record_probe.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "client/connection.hpp"
#include "core/file_io.hpp"
#include "core/text.hpp"
#include "launcher/cluster_status.hpp"
#include "launcher/connection_files.hpp"
#include "launcher/log_tail.hpp"
#include "launcher/remote_parts.hpp"
#include "monitor/doctor/host_probe.hpp"
#include "net/address.hpp"
#include "protocol/connection_file.hpp"
#include "protocol/signer.hpp"

namespace ipf::doctor {

namespace {

/// The state letter of /proc/<pid>/stat; 't' and 'T' are stopped.
char state_of(pid_t pid) {
  const std::string line = read_file("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t name_end = line.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= line.size() ? '\0' : line[name_end + 2];
}

std::uint64_t descriptors_max(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/limits");
  const std::string label = "Max open files";
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(label)) {
      std::istringstream rest(line.substr(label.size()));
      std::uint64_t soft = 0;
      std::uint64_t hard = 0;
      return rest >> soft >> hard ? hard : 0;
    }
  }
  return 0;
}

std::uint64_t open_descriptors(pid_t pid) {
  std::error_code failure;
  std::uint64_t count = 0;
  for (std::filesystem::directory_iterator at("/proc/" + std::to_string(pid) + "/fd", failure);
       !failure && at != std::filesystem::directory_iterator(); at.increment(failure)) {
    ++count;
  }
  return failure ? 0 : count;
}

ProcessFacts process_facts(const char* role, pid_t pid) {
  const char state = state_of(pid);
  return {.role = role,
          .pid = pid,
          .stopped = state == 'T' || state == 't',
          .descriptors = open_descriptors(pid),
          .descriptors_max = descriptors_max(pid)};
}

/// Processes of the cluster that a signal stopped: engines are children of what the file names.
void add_stopped(const ClusterRecord& record, RecordFacts& out) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failure)) {
    const std::string name = entry.path().filename().string();
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc{} || end != name.data() + name.size()) {
      continue;
    }
    const char state = state_of(pid);
    if ((state == 'T' || state == 't') && belongs_to_cluster(pid, record) &&
        std::ranges::find(out.processes, pid, &ProcessFacts::pid) == out.processes.end()) {
      out.processes.push_back(process_facts("engine process", pid));
    }
  }
}

void add_processes(const ClusterStatus& status, RecordFacts& out) {
  for (const ProcessId& process : status.controller) {
    out.processes.push_back(process_facts("controller", process.pid));
  }
  for (const ProcessId& process : status.engines) {
    out.processes.push_back(process_facts("engine process", process.pid));
  }
  if (status.ipcluster) {
    out.processes.push_back(process_facts("ipcluster", status.ipcluster->pid));
  }
}

std::vector<std::string> other_clusters(const ProfilePaths& paths) {
  constexpr std::string_view prefix = "cluster-";
  constexpr std::string_view suffix = ".json";
  std::vector<std::string> out;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(paths.security(), failure)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(suffix)) {
      std::string id = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
      if (id != paths.cluster_id) {
        out.push_back(std::move(id));
      }
    }
  }
  std::ranges::sort(out);
  return out;
}

/// A generic batch system cannot be asked.
void ask_about_jobs(const KnownCluster& known, Duration limit, RecordFacts& out) {
  constexpr const char* mute = "batch";
  const ClusterStatus& status = known.status;
  out.jobs_asked = (status.remote_controller && known.record.controller.kind != mute) ||
                   (status.remote_engines > 0 && known.record.engines_kind != mute);
  out.jobs_gone = out.jobs_asked && !RemoteParts(known.record).run(limit);
}

}  // namespace

RecordFacts probe_record(const ProfilePaths& paths, Duration limit) {
  RecordFacts out{.path = paths.cluster_file().string(), .other_ids = other_clusters(paths)};
  const Result<KnownCluster> known = find_cluster(paths);
  if (!known) {
    out.exists = known.error().code != ErrorCode::not_found;
    out.problem = out.exists ? known.error().message : "";
    out.controller_alive = controller_runs(paths);
    return out;
  }
  const ClusterRecord& record = known->record;
  const ClusterStatus& status = known->status;
  out.exists = true;
  out.running = status.liveness == Liveness::running;
  out.elsewhere = status.liveness == Liveness::elsewhere;
  out.machine = record.machine ? record.machine->host : "";
  out.engines_wanted = record.engines_wanted;
  out.controller_kind = record.controller.kind;
  out.engines_kind = record.engines_kind;
  out.controller_recorded = !record.controller.processes.empty();
  out.controller_alive = out.elsewhere || status.remote_controller || !status.controller.empty() ||
                         controller_runs(paths);
  for (const auto& [id, set] : record.engine_sets) {
    out.engine_processes += set.processes.size();
  }
  out.engine_processes_alive = out.elsewhere ? out.engine_processes : status.engines.size();
  add_processes(status, out);
  add_stopped(record, out);
  ask_about_jobs(*known, limit, out);
  return out;
}

std::optional<ConnectionFileFacts> probe_connection_file(const ProfilePaths& paths, bool client) {
  const std::filesystem::path path = client ? paths.client_file() : paths.engine_file();
  ConnectionFileFacts out{.file = look_at(path.string())};
  if (!out.file.exists) {
    return std::nullopt;
  }
  const auto info = read_connection_file(path, client ? PeerRole::client : PeerRole::engine);
  if (!info) {
    out.problem = info.error().message;
    return out;
  }
  out.key_bytes = info->key.size();
  out.scheme = info->signature_scheme;
  out.curve = info->curve_serverkey && !info->curve_serverkey->empty();
  out.interface = info->interface;
  out.location = info->location;
  if (const auto signer = Signer::create(info->key, info->signature_scheme); !signer) {
    out.problem = signer.error().message;
  } else if (client) {
    const auto found = client::find_connection({.file = path.string()});
    if (found) {
      out.reached = found->interface;
      out.ssh_server = found->ssh_server;
    } else {
      out.unreachable = found.error().message;
    }
  } else if (auto reached = reachable_interface(info->interface, info->location)) {
    out.reached = *reached;
    out.ssh_server = info->ssh;
  } else {
    out.unreachable = reached.error().message;
  }
  return out;
}

bool keys_agree(const ProfilePaths& paths) {
  const auto client = read_connection_file(paths.client_file(), PeerRole::client);
  const auto engine = read_connection_file(paths.engine_file(), PeerRole::engine);
  return !client || !engine || equal_constant_time(client->key, engine->key);
}

std::vector<LogFacts> probe_missing_logs(const ProfilePaths& paths,
                                         const std::vector<EngineFacts>& registered) {
  constexpr std::size_t told_max = 3;
  constexpr std::size_t read_max = 500;
  const Result<KnownCluster> known = find_cluster(paths);
  if (!known) {
    return {};
  }
  std::vector<std::filesystem::path> logs;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(paths.log(), failure)) {
    const std::string name = entry.path().filename().string();
    const bool ours = std::ranges::any_of(known->record.engine_sets, [&](const auto& set) {
      const std::string stem = "ipengine-" + paths.cluster_id + "-" + set.first + "-";
      return name.starts_with(stem) && name.size() > stem.size() &&
             std::isdigit(static_cast<unsigned char>(name[stem.size()])) != 0;
    });
    if (ours && logs.size() < read_max) {
      logs.push_back(entry.path());
    }
  }
  std::ranges::sort(logs);
  std::vector<LogFacts> out;
  for (const auto& log : logs) {
    const std::optional<int> id = registered_id(log);
    const bool here =
        id && std::ranges::find(registered, *id, &EngineFacts::id) != registered.end();
    if (!here && out.size() < told_max) {
      const std::string line = last_lines(log, 1);
      const std::size_t text = line.find_first_not_of(' ');
      out.push_back({.path = log.string(),
                     .last_line = text == std::string::npos ? "(empty)" : line.substr(text)});
    }
  }
  return out;
}

}  // namespace ipf::doctor
