#pragma once

#include <atomic>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "core/clock.hpp"
#include "core/result.hpp"
#include "launcher/file_descriptor.hpp"
#include "launcher/process.hpp"

namespace ipf {

struct SshTunnelOptions {
  std::string server{};    ///< `[user@]host[:port]`, or a name that ssh's configuration knows
  std::string key_file{};  ///< empty: as ssh finds one
  std::string password{};  ///< empty: none; ssh never asks anybody
  std::string host{"127.0.0.1"};  ///< of the controller, as the server sees it
  std::vector<int> ports{};       ///< of that host
  Duration retry_first{std::chrono::milliseconds(500)};
  Duration retry_longest{std::chrono::seconds(10)};
};

/// One OpenSSH process that carries the connections to all ports of a host.
///
/// The local ends are Unix sockets in a directory that only this user can enter, not TCP ports:
/// nobody else on this machine can use the tunnel, and no port is taken by somebody in between. The
/// process ends with this object, and also when this process dies: it hangs on a pipe. When it ends
/// by itself after the tunnel was open, it is started again, with growing pauses.
///
/// A password is handed to ssh by a program of three words (SSH_ASKPASS) that reads it from a file
/// of mode 0600, which is gone as soon as the tunnel is open: it is in no command line and no
/// environment. Functions may be called from any thread.
class SshTunnel {
 public:
  /// Starts ssh and a thread that watches it, and does not wait for the tunnel. Fails when there is
  /// no ssh, or the server's name cannot be one.
  static Result<std::unique_ptr<SshTunnel>> start(const SshTunnelOptions& options);

  SshTunnel(const SshTunnel&) = delete;
  SshTunnel& operator=(const SshTunnel&) = delete;
  /// Ends ssh and removes the sockets.
  ~SshTunnel();

  /// `ipc://...`, to which endpoint_url() adds a port.
  [[nodiscard]] std::string interface() const { return "ipc://" + (directory_ / "port").string(); }
  /// The tunnel has been open at least once.
  [[nodiscard]] bool opened() const { return opened_.load(); }
  /// Why ssh ended before the tunnel was open; it is not tried again then. `permission`: the server
  /// refuses the key or the password.
  [[nodiscard]] std::optional<Error> failure() const;

 private:
  SshTunnel(SshTunnelOptions options, std::filesystem::path directory)
      : options_(std::move(options)), directory_(std::move(directory)) {}

  [[nodiscard]] std::filesystem::path socket_of(int port) const;
  [[nodiscard]] std::vector<std::string> command() const;
  Result<void> spawn();
  void run(const std::stop_token& stopping);
  /// Until ssh has ended; false when the object is to go.
  bool watch(const std::stop_token& stopping);
  void end_process();
  void fail();
  Result<void> write_askpass() const;

  const SshTunnelOptions options_;
  const std::filesystem::path directory_;
  std::optional<Process> process_{};
  FileDescriptor lifeline_{};  ///< ssh ends when it is closed
  std::atomic<bool> opened_{false};
  mutable std::mutex mutex_{};
  std::optional<Error> failure_{};
  std::jthread thread_{};  ///< last: ends before the rest
};

}  // namespace ipf
