#include "launcher/cluster_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/text.hpp"
#include "launcher/file_descriptor.hpp"

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
    out["engines"]["sets"][id] = parse_state(set.state_json);
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
  for (const auto& [id, state] : object_at(engines, "sets").items()) {
    LauncherState set = read_state(out.engines_kind, state, starts);
    set.engines = integer_at(state, "n");
    out.engine_sets.emplace(id, std::move(set));
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
  std::error_code failure;
  const std::uintmax_t size = std::filesystem::file_size(file, failure);
  if (failure) {
    return unexpected(ErrorCode::not_found, "there is no cluster file " + file.string());
  }
  if (size > file_bytes_max) {
    return unexpected(ErrorCode::too_large, "the cluster file " + file.string() + " is too large");
  }
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("cluster") || !parsed["cluster"].is_object()) {
    return unexpected(ErrorCode::malformed, file.string() + " is not a cluster file");
  }
  return from_json(parsed);
}

}  // namespace ipf
