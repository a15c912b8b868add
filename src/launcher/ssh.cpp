#include "launcher/ssh.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <utility>

#include "core/file_io.hpp"
#include "core/log.hpp"
#include "launcher/cluster_file.hpp"
#include "launcher/launcher_settings.hpp"
#include "launcher/process_table.hpp"

namespace ipf {

using nlohmann::json;

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration starting_step = milliseconds{5};
constexpr Duration running_step = milliseconds{200};
constexpr Duration first_reconnect = seconds{1};
constexpr int attempts_max_step = 6;  // 2^6 s is the longest interval

bool has_line_break(const std::vector<std::string>& words) {
  return std::ranges::any_of(
      words, [](const std::string& word) { return word.find('\n') != std::string::npos; });
}

}  // namespace

SshLauncher::SshLauncher(LauncherRole role,
                         std::string prefix,
                         std::string kind,
                         LaunchOptions options,
                         SshSettings settings,
                         std::vector<SshPart> parts)
    : role_(role),
      prefix_(std::move(prefix)),
      kind_(std::move(kind)),
      options_(std::move(options)),
      settings_(std::move(settings)),
      parts_(std::move(parts)) {}

std::string SshLauncher::class_name() const {
  return launcher_class_name(prefix_, role_);
}

std::unique_ptr<RemoteHost> SshLauncher::connection_to(const std::string& host) const {
  std::vector<std::string> ssh = settings_.ssh_cmd;
  ssh.insert(ssh.end(), settings_.ssh_args.begin(), settings_.ssh_args.end());
  // A user's own options stand before ours: ssh takes the first.
  ssh.insert(ssh.end(), {"-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o",
                         "ServerAliveInterval=15", "-o", "ServerAliveCountMax=8"});
  std::string name = host;
  const std::size_t colon = host.rfind(':');
  if (colon != std::string::npos && host.find(':') == colon) {
    ssh.insert(ssh.end(), {"-p", host.substr(colon + 1)});
    name = host.substr(0, colon);
  }
  if (!settings_.user.empty() && name.find('@') == std::string::npos) {
    name = settings_.user + "@" + name;
  }
  ssh.push_back(name);
  return std::make_unique<RemoteHost>(std::move(ssh), host);
}

std::vector<std::string> SshLauncher::command_of(const SshPart& part) const {
  std::vector<std::string> out = part.command;
  if (out.empty()) {
    out = options_.command;
    if (!settings_.remote_python.empty()) {  // our programs stand beside their Python
      const std::filesystem::path python = settings_.remote_python;
      const std::string name = role_ == LauncherRole::controller ? "ipcontroller" : "ipengine";
      out = {python.has_parent_path() ? (python.parent_path() / name).string() : name};
    }
  }
  out.insert(out.end(), options_.args.begin(), options_.args.end());
  out.insert(out.end(), part.args.begin(), part.args.end());
  return out;
}

std::filesystem::path SshLauncher::log_of(int index) const {
  return role_ == LauncherRole::controller ? controller_log(options_)
                                           : engine_log(options_, std::to_string(index));
}

Result<void> SshLauncher::start(int engines) {
  int index = 0;
  int left = role_ == LauncherRole::controller ? 1 : engines;
  for (const SshPart& part : parts_) {
    Host host{.part = part};
    for (int i = 0; i < part.programs && left > 0; ++i) {
      const int stands_for = part.engines_each == 0 ? left : part.engines_each;
      host.programs.push_back({.index = index++, .engines = stands_for});
      left -= stands_for;
    }
    if (!host.programs.empty()) {
      hosts_.push_back(std::move(host));
    }
  }
  for (Host& host : hosts_) {
    IPF_TRY(start_on(host));
  }
  return {};
}

Result<void> SshLauncher::send_files(Host& host) const {
  if (role_ == LauncherRole::engines) {
    const std::filesystem::path file = options_.paths.engine_file();
    const std::string content = read_file(file);
    if (content.empty()) {
      return unexpected(ErrorCode::not_found, "the engines on " + host.part.host +
                                                  " need the connection file " + file.string() +
                                                  ", which cannot be read");
    }
    host.connection->send_file("security/" + file.filename().string(), content);
  }
  for (const json& pair : settings_.to_send) {
    const std::string from = pair[0].get<std::string>();
    std::error_code failure;
    if (!std::filesystem::is_regular_file(from, failure)) {
      return unexpected(ErrorCode::not_found, "to_send: there is no file " + printable(from));
    }
    host.connection->send_file(pair[1].get<std::string>(), read_file(from));
  }
  return {};
}

Result<void> SshLauncher::start_on(Host& host) {
  host.connection = connection_to(host.part.host);
  IPF_TRY(host.connection->open(settings_.remote_profile_dir));
  IPF_TRY(send_files(host));
  std::vector<EnvironmentChange> environment{{"IPP_CLUSTER_ID", options_.paths.cluster_id}};
  environment.insert(environment.end(), options_.environment.begin(), options_.environment.end());
  for (const Program& program : host.programs) {
    std::vector<std::string> command = command_of(host.part);
    for (std::string& word : command) {
      if (const std::size_t at = word.find("{n}"); at != std::string::npos) {
        word.replace(at, 3, std::to_string(program.engines));
      }
    }
    if (has_line_break(command)) {
      return unexpected(ErrorCode::invalid_argument,
                        "a command for another host cannot have a line break in it");
    }
    host.connection->start(program.index, environment, command,
                           log_of(program.index).filename().string());
  }
  if (role_ == LauncherRole::controller) {
    for (const auto& file : {options_.paths.client_file(), options_.paths.engine_file()}) {
      host.connection->fetch(file.filename().string());
    }
  }
  return {};
}

void SshLauncher::poll(std::vector<LaunchExit>& ended) {
  for (Host& host : hosts_) {
    if (host.lost) {
      reconnect(host, ended);
    }
    if (!host.connection) {
      continue;
    }
    std::vector<RemoteEvent> events;
    host.connection->poll(events);
    for (const RemoteEvent& event : events) {
      handle(host, event, ended);
    }
    if (host.connection && std::ranges::all_of(host.programs, &Program::ended)) {
      host.connection->close_orders();
    }
  }
}

void SshLauncher::handle(Host& host, const RemoteEvent& event, std::vector<LaunchExit>& ended) {
  using Kind = RemoteEvent::Kind;
  const auto program = std::ranges::find(host.programs, event.index, &Program::index);
  const bool known = program != host.programs.end() && !program->ended;
  switch (event.kind) {
    case Kind::directory:
      host.directory = event.text;
      host.attempts = 0;
      break;
    case Kind::pid:
      if (known) {
        program->pid = event.number;
        if (program->wanted_signal != 0) {
          host.connection->signal(program->pid, program->wanted_signal);
        }
        state_changed();
      }
      break;
    case Kind::log:
      if (known) {
        program->log += event.text + "\n";
      }
      break;
    case Kind::ended:
      if (known) {
        end(*program, event.number, {}, ended);
      }
      break;
    case Kind::file:
      fetched_[event.name] += event.text + "\n";
      break;
    case Kind::fetched:
      save_fetched(event.name);
      break;
    case Kind::failed:
      warn(host.part.host + ": " + event.text);
      break;
    case Kind::lost:
      handle_lost(host, event, ended);
      break;
  }
}

void SshLauncher::save_fetched(const std::string& name) {
  for (const auto& file : {options_.paths.client_file(), options_.paths.engine_file()}) {
    if (file.filename() == name) {
      if (const Result<void> saved = write_private_file(file, fetched_[name]); !saved) {
        warn(saved.error().message);
      }
    }
  }
}

void SshLauncher::handle_lost(Host& host,
                              const RemoteEvent& event,
                              std::vector<LaunchExit>& ended) {
  host.connection.reset();
  const bool all_ended = std::ranges::all_of(host.programs, &Program::ended);
  if (all_ended) {
    return;
  }
  if (host.directory.empty() || killed_) {  // it never came up, or nobody waits for it any more
    for (Program& program : host.programs) {
      if (!program.ended) {
        end(program, -1, event.text, ended);
      }
    }
    return;
  }
  if (!host.lost) {
    warn(event.text + "; its engines go on, and the connection is made again");
  }
  host.lost = true;
  const int step = std::min(host.attempts++, attempts_max_step);
  host.reconnect_at = steady_now() + first_reconnect * (1 << step);
}

void SshLauncher::reconnect(Host& host, std::vector<LaunchExit>& ended) {
  if (steady_now() < host.reconnect_at || host.connection) {
    return;
  }
  host.connection = connection_to(host.part.host);
  if (const Result<void> opened = host.connection->open(host.directory); !opened) {
    handle_lost(host, {.kind = RemoteEvent::Kind::lost, .text = opened.error().message}, ended);
    return;
  }
  host.lost = false;
  for (const Program& program : host.programs) {
    if (!program.ended && program.pid > 0) {
      host.connection->watch(program.index, program.pid);
    }
  }
}

void SshLauncher::end(Program& program,
                      int number,
                      std::string detail,
                      std::vector<LaunchExit>& ended) const {
  constexpr int signal_base = 128;
  program.ended = true;
  const std::filesystem::path log = log_of(program.index);
  if (!program.log.empty()) {
    std::ofstream(log, std::ios::binary | std::ios::app) << program.log;
  }
  ExitStatus status{.code = 0, .signal = 0, .known = number >= 0};
  if (number > signal_base) {
    status.signal = number - signal_base;
  } else {
    status.code = std::max(number, 0);
  }
  ended.push_back({.index = program.index,
                   .pid = 0,
                   .status = status,
                   .output_file = program.log.empty() ? std::filesystem::path{} : log,
                   .engines = program.engines,
                   .detail = std::move(detail)});
}

Duration SshLauncher::poll_step() const {
  const bool busy = std::ranges::any_of(hosts_, [](const Host& host) {
    return std::ranges::any_of(host.programs, [](const Program& program) {
      return !program.ended && (program.pid == 0 || program.wanted_signal != 0);
    });
  });
  return busy ? starting_step : hosts_.empty() ? Launcher::poll_step() : running_step;
}

bool SshLauncher::running() {
  return std::ranges::any_of(hosts_, [](const Host& host) {
    // The connection ends behind the last program, when its directory has been removed.
    return host.connection || !std::ranges::all_of(host.programs, &Program::ended);
  });
}

template <class Action>
Result<void> SshLauncher::for_each(std::optional<int> index, Action action) {
  bool found = !index;
  for (Host& host : hosts_) {
    for (Program& program : host.programs) {
      if (!index || program.index == *index) {
        found = true;
        if (!program.ended) {
          action(host, program);
        }
      }
    }
  }
  if (!found) {
    return unexpected(ErrorCode::not_found,
                      "there is no engine " + std::to_string(*index) + " in this set");
  }
  return {};
}

bool SshLauncher::can_signal(int number, std::optional<int> /*index*/) const {
  return kind_ != "sshproxy" || number == SIGTERM || number == SIGKILL;
}

Result<void> SshLauncher::signal(int number, std::optional<int> index) {
  if (!can_signal(number, index)) {
    return unexpected(ErrorCode::unavailable,
                      "ipcluster on the other host does not pass " + signal_name(number) + " on");
  }
  return for_each(index, [number](Host& host, Program& program) {
    if (program.pid > 0 && host.connection) {
      host.connection->signal(program.pid, number);
    } else {
      program.wanted_signal = number;
    }
  });
}

Result<void> SshLauncher::stop(StopLevel level, std::optional<int> index) {
  killed_ = killed_ || (level == StopLevel::kill && !index);
  return for_each(index, [level](Host& host, Program& program) {
    host.reconnect_at = {};  // now, if it is lost
    if (level == StopLevel::kill && program.pid > 0 && host.connection) {
      host.connection->kill(program.pid);
      return;
    }
    program.wanted_signal = level == StopLevel::kill ? SIGKILL : SIGTERM;
    if (program.pid > 0 && host.connection) {
      host.connection->signal(program.pid, program.wanted_signal);
    }
  });
}

LauncherState SshLauncher::state() const {
  LauncherState out{.kind = kind_};
  json engines = json::object();
  for (const Host& host : hosts_) {
    int number = 0;
    for (const Program& program : host.programs) {
      const std::string key = host.part.host + "/" + std::to_string(number++);
      if (program.ended) {
        continue;
      }
      json state = base_state(options_);
      state["hostname"] = host.part.host;
      state["user"] = settings_.user;
      state["ssh_cmd"] = settings_.ssh_cmd;
      state["ssh_args"] = settings_.ssh_args;
      state["remote_profile_dir"] = host.directory;
      state["remote_output_file"] =
          (std::filesystem::path(host.directory) / "log" / log_of(program.index).filename())
              .string();
      state["pid"] = program.pid;
      state["index"] = program.index;
      state["n"] = program.engines;
      out.engines += program.engines;
      if (role_ == LauncherRole::controller) {
        out.engines = 0;
        out.state_json = dump_state(state);
        return out;
      }
      engines[key] = std::move(state);
    }
  }
  if (!engines.empty()) {
    out.state_json = set_state(options_, out.engines, std::move(engines));
  }
  return out;
}

Result<void> SshLauncher::restore(const std::string& state_json) {
  const json state = json::parse(state_json, nullptr, false);
  const json single = {{"single", state}};
  const json& engines =
      role_ == LauncherRole::engines && state.contains("engines") ? state["engines"] : single;
  int next = 0;
  for (const auto& [key, engine] : engines.items()) {
    LauncherSettings read(class_name(), engine.dump());
    std::string hostname;
    std::string directory;
    Program program{.index = next++};
    read.read("hostname", hostname);
    read.read("user", settings_.user);
    read.read("ssh_cmd", settings_.ssh_cmd);
    read.read("ssh_args", settings_.ssh_args);
    read.read("remote_profile_dir", directory);
    read.read("pid", program.pid);
    read.read("index", program.index);
    read.read("n", program.engines);
    if (hostname.empty() || program.pid <= 0) {
      continue;
    }
    auto host = std::ranges::find_if(
        hosts_, [&](const Host& known) { return known.part.host == hostname; });
    if (host == hosts_.end()) {
      hosts_.push_back({.part = {.host = hostname}, .directory = directory, .lost = true});
      host = std::prev(hosts_.end());
    }
    host->programs.push_back(program);
  }
  return hosts_.empty() ? Result<void>{nothing_runs(class_name())} : Result<void>{};
}

std::vector<std::filesystem::path> SshLauncher::output_files() const {
  std::vector<std::filesystem::path> out;
  for (const Host& host : hosts_) {
    for (const Program& program : host.programs) {
      out.push_back(log_of(program.index));
    }
  }
  return out;
}

}  // namespace ipf
