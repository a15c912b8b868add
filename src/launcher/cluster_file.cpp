#include "launcher/cluster_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <sys/file.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/file_io.hpp"
#include "core/text.hpp"

namespace ipf {

namespace {

using nlohmann::json;

constexpr std::uintmax_t file_bytes_max = 16U * 1024 * 1024;
constexpr const char* cluster_class = "ipyparallel.cluster.cluster.Cluster";

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

int integer_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int>() : 0;
}

/// The object under `key`, or an empty one.
const json& object_at(const json& object, const char* key) {
  static const json empty = json::object();
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? *found : empty;
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json parse_state(const std::string& text) {
  json state = json::parse(text, nullptr, false);
  return state.is_object() ? state : json::object();
}

json ipyfleet_part(const ClusterRecord& record) {
  json part = json::object();
  for (const auto& [id, set] : record.engine_sets) {
    if (set.kind != record.engines_kind) {
      part["engine_sets"][id] = {{"class", set.kind}, {"state", parse_state(set.state_json)}};
    }
  }
  if (record.ipcluster) {
    part["ipcluster"] = {{"pid", record.ipcluster->pid}, {"start", record.ipcluster->start_ticks}};
  }
  if (record.machine) {
    part["machine"] = {{"host", record.machine->host},
                       {"boot", record.machine->boot},
                       {"pid_namespace", record.machine->pid_namespace}};
  }
  json starts = json::object();
  const auto add = [&starts](const LauncherState& state) {
    for (const ProcessId& process : state.processes) {
      starts[std::to_string(process.pid)] = process.start_ticks;
    }
  };
  add(record.controller);
  for (const auto& [id, set] : record.engine_sets) {
    add(set);
  }
  part["start_ticks"] = std::move(starts);
  return part;
}

json to_json(const ClusterRecord& record) {
  json out = {{"cluster",
               {{"cluster_id", record.cluster_id},
                {"controller_args", record.controller_args},
                {"controller_ip", record.controller_ip},
                {"controller_location", record.controller_location},
                {"delay", record.delay_seconds},
                {"n", record.engines_wanted},
                {"profile_dir", record.profile_dir},
                {"class", cluster_class}}},
              {"engines", {{"class", record.engines_kind}, {"sets", json::object()}}},
              {"ipyfleet", ipyfleet_part(record)}};
  if (!record.controller.state_json.empty()) {
    out["controller"] = {{"class", record.controller.kind},
                         {"state", parse_state(record.controller.state_json)}};
  }
  for (const auto& [id, set] : record.engine_sets) {
    if (set.kind == record.engines_kind) {
      out["engines"]["sets"][id] = parse_state(set.state_json);
    }
  }
  return out;
}

/// Reads the pids of one launcher's state and looks up their start times.
LauncherState read_state(std::string kind, const json& state, const json& start_ticks) {
  LauncherState out{
      .kind = std::move(kind), .state_json = dump(state), .engines = 0, .processes = {}};
  const bool elsewhere = runs_elsewhere(out.kind);  // a pid there means nothing here
  const auto add = [&](const json& holder) {
    const int pid = integer_at(holder, "pid");
    if (pid <= 0 || elsewhere) {
      return;
    }
    const auto& known = holder.contains("start") ? holder : start_ticks;
    const auto start = known.find(holder.contains("start") ? "start" : std::to_string(pid));
    const bool usable = start != known.end() && start->is_number_integer();
    out.processes.push_back({pid, usable ? start->get<std::uint64_t>() : 0});
  };
  add(state);
  for (const json& engine : object_at(state, "engines")) {
    add(engine);
  }
  return out;
}

ClusterRecord from_json(const json& in) {
  const json& cluster = in.at("cluster");
  const json& ours = object_at(in, "ipyfleet");
  const json& starts = object_at(ours, "start_ticks");
  ClusterRecord out{.cluster_id = text_at(cluster, "cluster_id"),
                    .profile_dir = text_at(cluster, "profile_dir")};
  out.controller_ip = text_at(cluster, "controller_ip");
  out.controller_location = text_at(cluster, "controller_location");
  out.engines_wanted = integer_at(cluster, "n");
  if (const auto delay = cluster.find("delay"); delay != cluster.end() && delay->is_number()) {
    out.delay_seconds = delay->get<double>();
  }
  if (const auto args = cluster.find("controller_args");
      args != cluster.end() && args->is_array()) {
    for (const json& arg : *args) {
      out.controller_args.push_back(arg.is_string() ? arg.get<std::string>() : dump(arg));
    }
  }
  const json& controller = object_at(in, "controller");
  if (const json& state = object_at(controller, "state"); !state.empty()) {
    out.controller = read_state(text_at(controller, "class"), state, starts);
  }
  const json& engines = object_at(in, "engines");
  out.engines_kind = text_at(engines, "class");
  const auto add = [&](const std::string& id, std::string kind, const json& state) {
    LauncherState set = read_state(std::move(kind), state, starts);
    set.engines = integer_at(state, "n");
    out.engine_sets.emplace(id, std::move(set));
  };
  for (const auto& [id, state] : object_at(engines, "sets").items()) {
    add(id, out.engines_kind, state);
  }
  for (const auto& [id, set] : object_at(ours, "engine_sets").items()) {
    add(id, text_at(set, "class"), object_at(set, "state"));
  }
  if (const json& owner = object_at(ours, "ipcluster"); integer_at(owner, "pid") > 0) {
    const auto start = owner.find("start");
    const bool known = start != owner.end() && start->is_number_integer();
    out.ipcluster = ProcessId{integer_at(owner, "pid"), known ? start->get<std::uint64_t>() : 0};
  }
  if (const json& machine = object_at(ours, "machine"); !machine.empty()) {
    out.machine = MachineId{.host = text_at(machine, "host"),
                            .boot = text_at(machine, "boot"),
                            .pid_namespace = text_at(machine, "pid_namespace")};
  }
  return out;
}

Result<json> read_json(const std::filesystem::path& file) {
  std::error_code failure;
  const std::uintmax_t size = std::filesystem::file_size(file, failure);
  if (failure) {
    return unexpected(ErrorCode::not_found, "there is no cluster file " + file.string());
  }
  if (size > file_bytes_max) {
    return unexpected(ErrorCode::too_large, "the cluster file " + file.string() + " is too large");
  }
  json parsed = json::parse(read_file(file), nullptr, false);
  if (!parsed.is_object() || !parsed.contains("cluster") || !parsed["cluster"].is_object()) {
    return unexpected(ErrorCode::malformed, file.string() + " is not a cluster file");
  }
  return parsed;
}

/// The object under a key, made if there is none.
json& object_in(json& holder, const char* key) {
  json& found = holder[key];
  if (!found.is_object()) {
    found = json::object();
  }
  return found;
}

/// Takes a set out, wherever it stands, with the start times of its processes.
void erase_set(json& content, const std::string& set_id) {
  json& ours = object_in(content, "ipyfleet");
  json& starts = object_in(ours, "start_ticks");
  const ClusterRecord before = from_json(content);
  if (const auto old = before.engine_sets.find(set_id); old != before.engine_sets.end()) {
    for (const ProcessId& process : old->second.processes) {
      starts.erase(std::to_string(process.pid));
    }
  }
  object_in(object_in(content, "engines"), "sets").erase(set_id);
  object_in(ours, "engine_sets").erase(set_id);
}

}  // namespace

Result<void> write_private_file(const std::filesystem::path& file, const std::string& text) {
  const std::string temporary = file.string() + "." + random_hex(4);
  const auto failed = [&temporary](const char* what) {
    const int error = errno;
    unlink(temporary.c_str());
    return unexpected(ErrorCode::io,
                      std::string{what} + " " + temporary + ": " + errno_text(error));
  };
  const FileDescriptor out{open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
  if (!out) {
    return failed("cannot create");
  }
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = write(out.get(), text.data() + done, text.size() - done);
    if (written < 0 && errno != EINTR) {
      return failed("cannot write");
    }
    done += written > 0 ? static_cast<std::size_t>(written) : 0;
  }
  if (rename(temporary.c_str(), file.c_str()) != 0) {
    return failed("cannot rename");
  }
  return {};
}

bool runs_elsewhere(std::string_view kind) {
  constexpr std::array kinds{"batch", "htcondor", "lsf",      "pbs",   "sge",
                             "slurm", "ssh",      "sshproxy", "winhpc"};
  return std::ranges::find(kinds, kind) != kinds.end();
}

ClusterFileLock::ClusterFileLock(const std::filesystem::path& file, Duration limit)
    : directory_(open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  constexpr Duration step = std::chrono::milliseconds{2};
  const TimePoint deadline = steady_now() + limit;
  while (directory_ && !held_) {
    held_ = flock(directory_.get(), LOCK_EX | LOCK_NB) == 0;
    const bool busy = !held_ && (errno == EWOULDBLOCK || errno == EINTR);
    if (!busy || steady_now() >= deadline) {
      return;
    }
    std::this_thread::sleep_for(step);
  }
}

MachineId this_machine() {
  MachineId out{.host = host_name()};
  std::ifstream boot("/proc/sys/kernel/random/boot_id");
  boot >> out.boot;
  std::error_code failure;
  out.pid_namespace = std::filesystem::read_symlink("/proc/self/ns/pid", failure).string();
  return out;
}

Result<void> write_cluster_file(const std::filesystem::path& file, const ClusterRecord& record) {
  return write_private_file(file, dump(to_json(record)));
}

Result<ClusterRecord> read_cluster_file(const std::filesystem::path& file) {
  const Result<json> content = read_json(file);
  if (!content) {
    return unexpected(content.error());
  }
  return from_json(*content);
}

Result<void> record_engine_set(const std::filesystem::path& file,
                               const std::string& set_id,
                               const LauncherState& set) {
  const ClusterFileLock lock(file);
  Result<json> content = read_json(file);
  if (!content) {
    return unexpected(content.error());
  }
  erase_set(*content, set_id);
  json& engines = object_in(*content, "engines");
  json& ours = object_in(*content, "ipyfleet");
  if (!set.state_json.empty()) {
    if (engines["sets"].empty() && ours["engine_sets"].empty()) {
      engines["class"] = set.kind;
    }
    if (text_at(engines, "class") == set.kind) {
      engines["sets"][set_id] = parse_state(set.state_json);
    } else {
      ours["engine_sets"][set_id] = {{"class", set.kind}, {"state", parse_state(set.state_json)}};
    }
    for (const ProcessId& process : set.processes) {
      ours["start_ticks"][std::to_string(process.pid)] = process.start_ticks;
    }
  }
  if (ours["engine_sets"].empty()) {
    ours.erase("engine_sets");
  }
  return write_private_file(file, dump(*content));
}

}  // namespace ipf
