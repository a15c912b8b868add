#include "engine/split_tunnel.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "core/file_io.hpp"
#include "core/profile.hpp"
#include "core/text.hpp"
#include "engine/connection_source.hpp"
#include "engine/engine_setup.hpp"
#include "launcher/ssh_tunnel.hpp"
#include "net/address.hpp"

namespace ipf::engine {

namespace {

constexpr std::chrono::milliseconds look{50};
constexpr std::chrono::seconds open_patience{60};

Result<SshTunnelOptions> tunnel_options(const EngineOptions& options, Log& log) {
  const auto paths = locate_profile(options.profile);
  if (!paths) {
    return unexpected(paths.error());
  }
  ConnectionSource source(options, connection_file(options, *paths), log);
  const auto found = source.find();
  if (!found) {
    return unexpected(found.error());
  }
  const ConnectionInfo& info = found->info;
  if (found->ports_from_reply) {
    return unexpected(ErrorCode::invalid_argument, "--ssh needs the controller's connection file");
  }
  std::vector<int> ports{info.registration, info.control, info.mux,    info.task,
                         info.iopub,        info.hb_ping, info.hb_pong};
  ports.insert(ports.end(), info.broadcast.begin(), info.broadcast.end());
  std::erase(ports, 0);
  const std::string host = host_for_ssh(info.interface, info.location);
  return SshTunnelOptions{.server = options.ssh_server.empty() ? host : options.ssh_server,
                          .key_file = options.ssh_key,
                          .host = host,
                          .ports = std::move(ports)};
}

/// Waits until it is open, or the child has ended.
Result<std::unique_ptr<SshTunnel>> open_tunnel(const SshTunnelOptions& options) {
  auto tunnel = SshTunnel::start(options);
  if (!tunnel) {
    return tunnel;
  }
  const TimePoint end = steady_now() + open_patience;
  while (!(*tunnel)->opened()) {
    if (const auto failure = (*tunnel)->failure()) {
      return unexpected(*failure);
    }
    if (steady_now() > end) {
      return unexpected(ErrorCode::timed_out,
                        "no ssh tunnel by way of '" + options.server + "' within a minute");
    }
    std::this_thread::sleep_for(look);
  }
  return tunnel;
}

/// The status of the engine, when it has ended.
int wait_for(pid_t child, const sigset_t& signals) {
  constexpr int shell_signal_base = 128;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    siginfo_t signal{};
    const int number = sigwaitinfo(&signals, &signal);
    // The terminal has sent its own to both.
    if (number > 0 && number != SIGCHLD && signal.si_code != SI_KERNEL) {
      kill(child, number);
    }
  }
  return WIFSIGNALED(status) ? shell_signal_base + WTERMSIG(status) : WEXITSTATUS(status);
}

[[noreturn]] void hold(
    const SshTunnelOptions& options, pid_t child, int to_child, const sigset_t& signals, Log& log) {
  int status = EXIT_FAILURE;
  {
    auto tunnel = open_tunnel(options);
    if (tunnel) {
      [[maybe_unused]] const int told = write_all(to_child, (*tunnel)->interface());
    } else {
      log.error(tunnel.error().message);
    }
    close(to_child);  // without a word, the child ends
    status = wait_for(child, signals);
  }
  _exit(status);
}

std::string read_all(int fd) {
  std::string out;
  std::array<char, 256> chunk{};
  for (ssize_t got = 1; got != 0;) {
    got = read(fd, chunk.data(), chunk.size());
    if (got < 0 && errno != EINTR) {
      break;
    }
    out.append(chunk.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  }
  return out;
}

}  // namespace

Result<std::string> split_tunnel(const EngineOptions& options, Log& log) {
  const auto tunnel = tunnel_options(options, log);
  if (!tunnel) {
    return unexpected(tunnel.error());
  }
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) {
    return unexpected(ErrorCode::io, "cannot make a pipe: " + errno_text(errno));
  }
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) {
    sigaddset(&signals, number);
  }
  pthread_sigmask(SIG_BLOCK, &signals, &before);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) {
    return unexpected(ErrorCode::io, "cannot start a process: " + errno_text(errno));
  }
  if (child > 0) {
    close(ends[0]);
    hold(*tunnel, child, ends[1], signals, log);
  }
  close(ends[1]);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  std::string interface = getppid() == parent ? read_all(ends[0]) : "";
  close(ends[0]);
  if (interface.empty()) {
    _exit(EXIT_FAILURE);  // the parent has said why
  }
  return interface;
}

}  // namespace ipf::engine
