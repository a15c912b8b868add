// Reads the settings of the launchers for other hosts: SSH and SSHProxy.
#include <algorithm>
#include <utility>

#include "core/log.hpp"
#include "launcher/launcher_settings.hpp"
#include "launcher/ssh.hpp"

namespace ipf {

using nlohmann::json;

namespace {

constexpr int programs_max = 100'000;

Unexpected bad(std::string text) {
  return unexpected(ErrorCode::invalid_argument, std::move(text));
}

bool is_pair_list(const json& value) {
  return value.is_array() && std::ranges::all_of(value, [](const json& pair) {
           return pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string();
         });
}

bool is_text_list(const json& value) {
  return value.is_array() &&
         std::ranges::all_of(value, [](const json& item) { return item.is_string(); });
}

/// n, [n, args] or {"n": n, "engine_args": [...], "engine_cmd": [...]}.
Result<SshPart> read_part(const std::string& host, const json& value) {
  SshPart out{.host = host};
  const json* count = &value;
  if (value.is_array() && value.size() == 2 && is_text_list(value[1])) {
    count = &value[0];
    out.args = value[1].get<std::vector<std::string>>();
  } else if (value.is_object()) {
    static const json one = 1;
    count = value.contains("n") ? &value["n"] : &one;
    for (const auto& [key, item] : value.items()) {
      if ((key == "engine_args" || key == "engine_cmd") && is_text_list(item)) {
        (key == "engine_args" ? out.args : out.command) = item.get<std::vector<std::string>>();
      } else if (key != "n") {
        return bad("engines['" + printable(host) + "'] has '" + printable(key) +
                   "'; known are n, engine_args and engine_cmd, both lists of texts");
      }
    }
  }
  if (!count->is_number_integer() || count->get<std::int64_t>() < 0 ||
      count->get<std::int64_t>() > programs_max) {
    return bad("engines['" + printable(host) +
               "'] must be a number, [number, [arguments]] or {\"n\": number, ...}");
  }
  out.programs = count->get<int>();
  return out;
}

/// A host that begins with a dash would be an option of ssh.
Result<void> check_host(const std::string& host) {
  const bool odd = std::ranges::any_of(host, [](unsigned char c) { return c <= ' ' || c > '~'; });
  if (host.empty() || host.starts_with('-') || odd) {
    return bad("'" + printable(host) + "' is no [user@]host[:port]");
  }
  return {};
}

void read_ssh(LauncherSettings& settings, SshSettings& out, std::string& hostname, json& unused) {
  settings.read("hostname", hostname);
  settings.read("user", out.user);
  settings.read("ssh_cmd", out.ssh_cmd);
  settings.read("ssh_args", out.ssh_args);
  settings.read("remote_python", out.remote_python);
  settings.read("remote_profile_dir", out.remote_profile_dir);
  settings.read_any("to_send", out.to_send);
  settings.read_any("to_fetch", unused);
  std::vector<std::string> list;
  settings.read("scp_cmd", list);  // files go by ssh itself; old configurations name it
  settings.read("scp_args", list);
  std::string text;
  settings.read("location", text);
}

Result<void> check(const SshSettings& settings, const json& to_fetch) {
  if (settings.ssh_cmd.empty()) {
    return bad("ssh_cmd is empty");
  }
  if (!is_pair_list(settings.to_send)) {
    return bad("to_send must be a list of pairs [file here, file there]");
  }
  if (!to_fetch.is_null() && !to_fetch.empty()) {
    return bad(
        "to_fetch is not known here: the connection files of a controller come by "
        "themselves");
  }
  const std::string& dir = settings.remote_profile_dir;
  if (dir.find('\n') != std::string::npos) {
    return bad("remote_profile_dir has a line break in it");
  }
  return check_host(settings.user.empty() ? "x" : settings.user);
}

Result<std::vector<SshPart>> engine_parts(const json& engines, const json& hosts) {
  std::vector<SshPart> out;
  for (const auto& [host, value] : engines.items()) {
    IPF_TRY(check_host(host));
    const Result<SshPart> part = read_part(host, value);
    if (!part) {
      return unexpected(part.error());
    }
    out.push_back(*part);
  }
  if (!hosts.is_null() && !is_text_list(hosts)) {
    return bad("hosts must be a list of texts");
  }
  for (const json& host : hosts) {
    const auto name = host.get<std::string>();
    IPF_TRY(check_host(name));
    const auto known = std::ranges::find(out, name, &SshPart::host);
    if (known != out.end()) {
      ++known->programs;
    } else {
      out.push_back({.host = name});
    }
  }
  if (out.empty()) {
    return bad(
        "SSHEngineSetLauncher needs to know its hosts: engines = {\"host\": number, ...}, or "
        "hosts = [\"host\", ...] with one engine for each mention");
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<Launcher>> make_ssh_launcher(LauncherRole role, LaunchOptions options) {
  SshSettings own;
  std::string hostname;
  json to_fetch;
  json engines = json::object();
  json hosts;
  LauncherSettings settings(launcher_class_name("SSH", role), options.settings_json);
  settings.read_common(role, options);
  read_ssh(settings, own, hostname, to_fetch);
  if (role == LauncherRole::engines) {
    settings.read("engines", engines);
    settings.read_any("hosts", hosts);
    double delay = 0;
    settings.read("delay", delay);  // hosts start at the same time
  }
  IPF_TRY(settings.finish());
  IPF_TRY(check(own, to_fetch));
  std::vector<SshPart> parts;
  if (options.restoring) {
    parts.clear();  // the state names the hosts
  } else if (role == LauncherRole::controller) {
    if (hostname.empty()) {
      return bad("SSHControllerLauncher needs to know its host: hostname = \"user@host:port\"");
    }
    IPF_TRY(check_host(hostname));
    parts.push_back({.host = hostname});
  } else {
    Result<std::vector<SshPart>> found = engine_parts(engines, hosts);
    if (!found) {
      return unexpected(found.error());
    }
    parts = std::move(*found);
  }
  return std::unique_ptr<Launcher>{std::make_unique<SshLauncher>(
      role, "SSH", "ssh", std::move(options), std::move(own), std::move(parts))};
}

Result<std::unique_ptr<Launcher>> make_ssh_proxy_launcher(LauncherRole role,
                                                          LaunchOptions options) {
  SshSettings own;
  std::string hostname;
  json to_fetch;
  std::vector<std::string> command{sibling_program("ipcluster")};
  std::vector<std::string> args;
  LauncherSettings settings("SSHProxyEngineSetLauncher", options.settings_json);
  settings.read_common(role, options);
  read_ssh(settings, own, hostname, to_fetch);
  settings.read("ipcluster_cmd", command);
  settings.read("ipcluster_args", args);
  IPF_TRY(settings.finish());
  IPF_TRY(check(own, to_fetch));
  if (hostname.empty() && !options.restoring) {
    return bad("SSHProxyEngineSetLauncher needs to know its host: hostname = \"user@host:port\"");
  }
  if (!options.restoring) {
    IPF_TRY(check_host(hostname));
  }
  command.insert(command.end(), {"engines", "-n", "{n}"});
  command.insert(command.end(), args.begin(), args.end());
  options.args.clear();
  const SshPart part{.host = hostname, .programs = 1, .engines_each = 0, .command = command};
  return std::unique_ptr<Launcher>{std::make_unique<SshLauncher>(
      role, "SSHProxy", "sshproxy", std::move(options), std::move(own), std::vector{part})};
}

}  // namespace ipf
