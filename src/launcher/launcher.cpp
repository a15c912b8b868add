#include "launcher/launcher.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/joined.hpp"
#include "core/log.hpp"
#include "launcher/batch.hpp"
#include "launcher/local.hpp"
#include "launcher/mpi.hpp"
#include "launcher/ssh.hpp"

namespace ipf {

namespace {

using Made = Result<std::unique_ptr<Launcher>>;

struct Backend {
  std::string_view name{};
  std::string_view label{};  ///< as its users write it
  std::string_view alias{};  ///< another name that documents of the past use
  bool controllers{true};
  Made (*make)(LauncherRole, LaunchOptions){};
};

constexpr std::array backends{
    Backend{"batch", "Batch", {}, true, &make_batch_launcher<&make_generic_batch>},
    Backend{"htcondor", "HTCondor", "condor", true, &make_batch_launcher<&make_htcondor>},
    Backend{"local", "Local", {}, true, &make_local_launcher},
    Backend{"lsf", "LSF", {}, true, &make_batch_launcher<&make_lsf>},
    Backend{"mpi", "MPI", "mpiexec", true, &make_mpi_launcher},
    Backend{"pbs", "PBS", {}, true, &make_batch_launcher<&make_pbs>},
    Backend{"sge", "SGE", {}, true, &make_batch_launcher<&make_sge>},
    Backend{"slurm", "Slurm", {}, true, &make_batch_launcher<&make_slurm>},
    Backend{"ssh", "SSH", {}, true, &make_ssh_launcher},
    Backend{"sshproxy", "SSHProxy", {}, false, &make_ssh_proxy_launcher},
    Backend{"winhpc", "WindowsHPC", "windowshpc", true, &make_batch_launcher<&make_windows_hpc>},
};

/// "pkg.module.LocalEngineSetLauncher" and "Local" both become "local".
std::string short_name(std::string_view name) {
  if (const std::size_t dot = name.find_last_of(".:"); dot != std::string_view::npos) {
    name.remove_prefix(dot + 1);
  }
  std::string out{name};
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const std::string_view suffix : {"launcher", "controller", "engineset", "engine"}) {
    if (out.size() > suffix.size() && out.ends_with(suffix)) {
      out.resize(out.size() - suffix.size());
    }
  }
  return out;
}

bool serves(const Backend& backend, LauncherRole role) {
  return role == LauncherRole::engines || backend.controllers;
}

Result<const Backend*> find_backend(LauncherRole role, std::string_view name) {
  const std::string wanted = short_name(name);
  const auto found = std::ranges::find_if(backends, [&](const Backend& backend) {
    return serves(backend, role) && !wanted.empty() &&
           (backend.name == wanted || backend.alias == wanted);
  });
  if (found != backends.end()) {
    return &*found;
  }
  const std::string kind = role == LauncherRole::controller ? "controller" : "engine";
  return unexpected(ErrorCode::invalid_argument,
                    "unknown " + kind + " launcher '" + printable(name) +
                        "'; known are: " + joined(launcher_names(role)));
}

}  // namespace

Result<void> Launcher::restart(int index) {
  return unexpected(ErrorCode::unavailable, class_name() + " cannot start engine " +
                                                std::to_string(index) + " of a set again");
}

bool Launcher::can_signal(int /*number*/, std::optional<int> /*index*/) const {
  return true;
}

Result<std::unique_ptr<Launcher>> make_launcher(LauncherRole role,
                                                std::string_view name,
                                                LaunchOptions options) {
  const auto backend = find_backend(role, name);
  if (!backend) {
    return unexpected(backend.error());
  }
  return (*backend)->make(role, std::move(options));
}

Result<std::unique_ptr<Launcher>> restore_launcher(LauncherRole role,
                                                   std::string_view name,
                                                   const std::string& state_json,
                                                   LaunchOptions options) {
  const nlohmann::json state = nlohmann::json::parse(state_json, nullptr, false);
  if (!state.is_object()) {
    return unexpected(ErrorCode::malformed, "the state of a launcher is no JSON object");
  }
  if (options.paths.dir.empty()) {
    const auto dir = state.find("profile_dir");
    const auto id = state.find("cluster_id");
    if (dir != state.end() && dir->is_string()) {
      options.paths.dir = dir->get<std::string>();
      options.paths.cluster_id =
          id != state.end() && id->is_string() ? id->get<std::string>() : std::string{};
    }
  }
  options.restoring = true;
  Made out = make_launcher(role, name, std::move(options));
  if (out) {
    IPF_TRY((*out)->restore(state_json));
  }
  return out;
}

std::vector<std::string> launcher_names(LauncherRole role) {
  std::vector<std::string> out;
  for (const Backend& backend : backends) {
    if (serves(backend, role)) {
      out.emplace_back(backend.name);
    }
  }
  std::ranges::sort(out);
  return out;
}

Result<std::string> launcher_short_name(LauncherRole role, std::string_view name) {
  const auto backend = find_backend(role, name);
  if (!backend) {
    return unexpected(backend.error());
  }
  return std::string{(*backend)->name};
}

std::string launcher_label(std::string_view name) {
  const auto backend = find_backend(LauncherRole::engines, name);
  return std::string{backend ? (*backend)->label : name};
}

std::string launcher_class_name(std::string_view prefix, LauncherRole role) {
  return std::string{prefix} +
         (role == LauncherRole::controller ? "ControllerLauncher" : "EngineSetLauncher");
}

std::vector<EnvironmentChange> cluster_environment(const LaunchOptions& options) {
  // An ipcluster started inside an engine inherits that engine's connection: it must not leak into
  // the new cluster, where it would beat the connection file.
  std::vector<EnvironmentChange> out{{"IPP_CLUSTER_ID", options.paths.cluster_id},
                                     {"IPP_PROFILE_DIR", options.paths.dir.string()},
                                     {"IPP_CONNECTION_INFO", std::nullopt}};
  for (const EnvironmentChange& change : options.environment) {
    const auto same = std::ranges::find(out, change.first, &EnvironmentChange::first);
    if (same != out.end()) {
      *same = change;
    } else {
      out.push_back(change);
    }
  }
  return out;
}

}  // namespace ipf
