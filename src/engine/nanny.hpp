#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/ids.hpp"
#include "core/log.hpp"
#include "core/result.hpp"
#include "engine/fork_client.hpp"
#include "engine/output_capture.hpp"
#include "engine/restart_policy.hpp"

namespace ipf::engine {

struct NannyOptions {
  RestartOptions restart{};
  std::uint64_t memory_limit{};  ///< bytes that an engine and what it started may use; 0: any
  std::string fork_from{};       ///< name of the fork server that makes the engines; empty: none
  ProcessStart start{};          ///< of this process, for the fork server
  std::string file{};            ///< the connection file, absolute
};

/// What an engine process knows of its nanny and of its predecessors.
struct EngineSeat {
  int link_fd{-1};   ///< socket to the nanny, see nanny_link.hpp. -1: there is no nanny
  int generation{};  ///< 0: the first engine in this place
  std::optional<EngineId> wanted_id{};  ///< that the predecessor had
};

/// Splits the process: returns in the child, which becomes the engine. The parent becomes the nanny
/// and never returns; when its engine has ended and is not to be restarted it ends with the same
/// exit status, or by the same signal.
///
/// The nanny is small and has no Python. It sees the engine's death at once and tells the hub, when
/// the engine has registered and has not said good-bye itself; then it may start another one in its
/// place, see restart_policy.hpp. SIGTERM, SIGHUP, SIGINT, SIGUSR1 and SIGUSR2 that are sent to it
/// go on to the engine; a Ctrl-C that the terminal has sent to both does not, but a second one
/// within two seconds stops the engine. After SIGTERM the engine has a few seconds, then it is
/// killed. When the nanny is killed, the engine gets SIGTERM. An engine that uses more memory than
/// allowed is told to end, with a last word for the request that runs, and killed if it does not.
///
/// With a fork server the engine is made by that and not by a fork of this process, unless the
/// server is gone; then the call returns only in engines that were made here.
///
/// Must be called before the process has a second thread.
///
/// `capture`, if not null, holds the engine's output pipes: the nanny copies what a crash left
/// there. A later engine gets pipes of its own.
Result<EngineSeat> split_nanny(const NannyOptions& options,
                               Log& log,
                               std::unique_ptr<OutputCapture>& capture);

}  // namespace ipf::engine
