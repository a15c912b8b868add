#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/ids.hpp"
#include "core/log.hpp"
#include "core/profile.hpp"
#include "engine/output_allowance.hpp"
#include "engine/restart_policy.hpp"
#include "protocol/curve.hpp"

namespace ipf::engine {

/// The command line and the environment of ipengine (protocol.md 8.1, 10.1, 10.3).
struct EngineOptions {
  ProfileOptions profile{};
  std::string connection_text{};   ///< $IPP_CONNECTION_INFO: the engine file itself
  std::string connection_file{};   ///< --file; a bare name lies in the profile's security directory
  bool kernel{};                   ///< --kernel: no controller, frontends connect to this process
  std::string registration_url{};  ///< --url, e.g. tcp://10.0.0.1:10101
  std::string ssh_server{};        ///< --ssh: to the controller by way of this `[user@]host[:port]`
  std::string ssh_key{};           ///< --sshkey: file of a private key
  std::string tunnel{};  ///< $IPF_SSH_TUNNEL: the interface of the tunnel that was opened for it
  std::string location{};
  std::string controller_ip{};
  int controller_port{};
  std::optional<std::string> key{};  ///< --keyfile, --Session.key, $IPP_SESSION_KEY
  CurveKeyPair curve_keys{};         ///< $IPP_CURVE_PUBLICKEY and -SECRETKEY; empty: fresh ones
  std::string curve_server_key{};    ///< $IPP_CURVE_SERVERKEY: where the file has none
  std::string ident{};
  std::string username{};
  std::optional<EngineId> wanted_id{};
  Duration registration_timeout{std::chrono::seconds(60)};
  Duration wait_for_file{std::chrono::seconds(60)};
  int missed_pings_max{};
  Duration reconnect_timeout{};
  bool with_nanny{true};
  RestartMode restart{RestartMode::never};
  int restart_limit{5};          ///< in a minute
  std::uint64_t memory_limit{};  ///< bytes of the engine and what it starts; 0: any
  std::string startup_command{};
  std::string startup_script{};
  bool init_profile{};  ///< --init: write the profile's files first
  bool use_mpi{};
  std::string mpi_module{};
  std::string init_mpi{};
  std::string python{};  ///< --python: a Python or the directory of an environment
  std::string gpus{};    ///< what CUDA_VISIBLE_DEVICES is to be; empty: as it is
  /// What the engine has for tasks that need some, e.g. {"gpu": 2}.
  std::map<std::string, double, std::less<>> resources{};
  std::string work_dir{};
  std::size_t output_bytes_max{OutputAllowance::default_bytes_max};  ///< of one request; 0: any
  std::string fork_from{};    ///< name of the fork server that makes the engine process
  std::string fork_server{};  ///< be one, under this name
  std::vector<std::string> preload{};
  LogLevel log_level{LogLevel::info};
  bool log_level_given{};
  bool log_to_file{};
  std::string log_format{"text"};  ///< or "json"
  /// `--Class.trait=value` of classes that Python may know.
  std::map<std::string, std::map<std::string, std::string>> traits{};
};

/// The process is to end at once: help, version, or a wrong command line.
struct EndNow {
  int status{};
  std::string text{};  ///< for stdout when status is 0, else for stderr
};

/// `arguments` without the program's name. Also reads the environment; removes what is secret from
/// it (IPP_CONNECTION_INFO, IPP_SESSION_KEY), so that user code and its children do not see it.
std::variant<EngineOptions, EndNow> parse_engine_options(const std::vector<std::string>& arguments);

}  // namespace ipf::engine
