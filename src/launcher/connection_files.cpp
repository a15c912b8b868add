#include "launcher/connection_files.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <fstream>
#include <netinet/in.h>
#include <poll.h>
#include <string_view>
#include <sys/socket.h>
#include <system_error>

#include <nlohmann/json.hpp>

#include "launcher/file_descriptor.hpp"
#include "launcher/pid_file.hpp"

namespace ipf {

namespace {

using nlohmann::json;

constexpr int connect_timeout_ms = 100;

/// True when something accepts a TCP connection at `interface:port`, e.g. "tcp://127.0.0.1".
bool tcp_answers(std::string_view interface, std::uint16_t port) {
  constexpr std::string_view scheme = "tcp://";
  if (!interface.starts_with(scheme)) {
    return false;
  }
  std::string host{interface.substr(scheme.size())};
  if (host == "*" || host == "0.0.0.0") {
    host = "127.0.0.1";
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    return false;
  }
  const FileDescriptor fd{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  sockaddr generic{};
  static_assert(sizeof generic == sizeof address);
  std::copy_n(reinterpret_cast<const char*>(&address), sizeof address,
              reinterpret_cast<char*>(&generic));
  if (connect(fd.get(), &generic, sizeof generic) == 0) {
    return true;
  }
  pollfd wait{.fd = fd.get(), .events = POLLOUT, .revents = 0};
  if (errno != EINPROGRESS || poll(&wait, 1, connect_timeout_ms) <= 0) {
    return false;
  }
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

/// True when something listens at the registration port that the client file names.
bool registration_port_answers(const std::filesystem::path& client_file) {
  std::ifstream in(client_file, std::ios::binary);
  const json info = json::parse(in, nullptr, false);
  if (!info.is_object()) {
    return false;
  }
  const auto interface = info.find("interface");
  const auto port = info.find("registration");
  return interface != info.end() && interface->is_string() && port != info.end() &&
         port->is_number_unsigned() && port->get<std::uint64_t>() <= 65535 &&
         tcp_answers(interface->get<std::string>(), port->get<std::uint16_t>());
}

std::filesystem::file_time_type written_at(const std::filesystem::path& file) {
  std::error_code failure;
  return std::filesystem::last_write_time(file, failure);
}

std::filesystem::path lock_of_controller(const ProfilePaths& paths) {
  return paths.pid() / ("ipcontroller" + paths.dashed_id() + ".lock");
}

bool reuses_files(const std::vector<std::string>& args) {
  return std::ranges::any_of(args, [](const std::string& arg) {
    return arg == "--reuse" || arg == "--restore" || arg == "--IPController.reuse_files=True" ||
           arg == "--IPController.restore_engines=True";
  });
}

}  // namespace

bool controller_runs(const ProfilePaths& paths) {
  return PidFile::holder(lock_of_controller(paths)) ||
         registration_port_answers(paths.client_file());
}

ConnectionFiles::ConnectionFiles(const ProfilePaths& paths,
                                 const std::vector<std::string>& controller_args)
    : paths_(paths),
      client_(paths.client_file()),
      engine_(paths.engine_file()),
      reuse_(reuses_files(controller_args)) {}

Result<void> ConnectionFiles::remove_stale() {
  if (controller_runs(paths_)) {
    return unexpected(ErrorCode::unavailable,
                      "a controller that ipcluster did not start uses " + client_.string() +
                          "; stop it, use another --cluster-id, or remove that file");
  }
  if (reuse_) {
    old_time_ = written_at(client_);
    return {};
  }
  for (const auto& file : {client_, engine_}) {
    std::error_code failure;
    std::filesystem::remove(file, failure);
    if (failure) {
      return unexpected(ErrorCode::io, "cannot remove the old connection file " + file.string() +
                                           ": " + failure.message());
    }
  }
  return {};
}

bool ConnectionFiles::ready() const {
  std::error_code failure;
  if (!std::filesystem::exists(client_, failure) || !std::filesystem::exists(engine_, failure)) {
    return false;
  }
  // A controller that reuses its files may not write them again; then the open port tells. Its lock
  // would not: it is taken long before the port is bound.
  return !reuse_ || written_at(client_) != old_time_ || registration_port_answers(client_);
}

void ConnectionFiles::remove_left_over() const {
  std::error_code failure;
  if (const auto lock = lock_of_controller(paths_); !PidFile::holder(lock)) {
    std::filesystem::remove(lock, failure);  // left by a controller that was killed
  }
  if (reuse_) {
    return;
  }
  for (const auto& file : {client_, engine_}) {
    std::filesystem::remove(file, failure);
  }
}

std::string ConnectionFiles::missing() const {
  std::error_code failure;
  return std::filesystem::exists(client_, failure) ? engine_.string() : client_.string();
}

}  // namespace ipf
