#include "client/connection.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "core/profile.hpp"
#include "net/address.hpp"

namespace ipf::client {

namespace {

Result<std::filesystem::path> file_of(const ConnectOptions& options) {
  if (!options.file.empty()) {
    return std::filesystem::path(options.file);
  }
  const auto located = locate_profile(with_environment({.profile = options.profile,
                                                        .profile_dir = options.profile_dir,
                                                        .ipython_dir = options.ipython_dir,
                                                        .cluster_id = options.cluster_id}));
  if (!located) {
    return unexpected(located.error());
  }
  return located->client_file();
}

/// Whether a tunnel is needed, and from where to where (protocol.md 2.3).
void choose_tunnel(const ConnectOptions& options, FoundConnection& found) {
  constexpr std::string_view protocol = "tcp://";
  const ConnectionInfo& info = found.info;
  const std::string reached = found.interface.substr(protocol.size());
  const bool elsewhere = !is_loopback(reached) || !is_this_machine(info.location);
  found.ssh_server = !options.ssh_server.empty() ? options.ssh_server : elsewhere ? info.ssh : "";
  if (found.ssh_server.empty() && !(options.ssh_key.empty() && options.ssh_password.empty())) {
    found.ssh_server = reached;  // as ipyparallel does it: the controller's host is the server
  }
  found.ssh_host = host_for_ssh(info.interface, info.location);
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): as all who read it
  return value == nullptr ? std::string() : value;
}

Result<CurvePtr> curve_of(const ConnectionInfo& info) {
  const bool in_file = info.curve_serverkey && !info.curve_serverkey->empty();
  return curve_peer({.public_key = variable("IPP_CURVE_PUBLICKEY"),
                     .secret_key = variable("IPP_CURVE_SECRETKEY")},
                    in_file ? *info.curve_serverkey : variable("IPP_CURVE_SERVERKEY"));
}

/// Puts `tcp://host[:port]` in the place of what the file says.
Result<void> apply_url(const std::string& url, ConnectionInfo& info) {
  constexpr std::string_view protocol = "tcp://";
  const std::size_t colon = url.rfind(':');
  const bool has_port = colon != std::string::npos && colon > protocol.size();
  const std::string host = url.substr(0, has_port ? colon : url.size());
  int port = info.registration;
  if (has_port) {
    const auto [end, failure] = std::from_chars(&url[colon] + 1, &url[0] + url.size(), port);
    if (failure != std::errc() || end != &url[0] + url.size() || port < 1 || port > 65535) {
      port = 0;
    }
  }
  if (!url.starts_with(protocol) || host.size() == protocol.size() || port == 0) {
    return unexpected(ErrorCode::invalid_argument,
                      "the url '" + url + "' is not of the form tcp://host:port");
  }
  info.interface = "tcp://*";
  info.location = host.substr(protocol.size());
  info.registration = port;
  return {};
}

}  // namespace

Result<FoundConnection> find_connection(const ConnectOptions& options) {
  FoundConnection found;
  if (!options.connection_text.empty()) {
    auto info = parse_connection_info(options.connection_text, PeerRole::client,
                                      "the connection information");
    if (!info) {
      return unexpected(info.error());
    }
    found.info = std::move(*info);
  } else {
    const auto path = file_of(options);
    if (!path) {
      return unexpected(path.error());
    }
    found.file = path->string();
    found.stamp = file_stamp(*path);
    std::error_code failure;
    if (!std::filesystem::exists(*path, failure)) {
      return unexpected(ErrorCode::not_found,
                        "no cluster is running: there is no connection file " + found.file +
                            ". Start one with: ipcluster start -n 4");
    }
    auto info = read_connection_file(*path, PeerRole::client);
    if (!info) {
      return unexpected(info.error());
    }
    found.info = std::move(*info);
  }
  if (!options.url.empty()) {
    IPF_TRY(apply_url(options.url, found.info));
  }
  auto curve = curve_of(found.info);
  if (!curve) {
    return unexpected(curve.error());
  }
  found.curve = std::move(*curve);
  auto interface = reachable_interface(found.info.interface, found.info.location);
  if (interface) {
    found.interface = std::move(*interface);
  } else if (options.ssh_server.empty() && found.info.ssh.empty()) {
    return unexpected(interface.error());
  } else {
    found.interface = "tcp://" + found.info.location;  // the ssh server may know it
  }
  choose_tunnel(options, found);
  return found;
}

ConnectionWatch::ConnectionWatch(const ConnectOptions& options, const FoundConnection& found)
    : options_(options), info_(found.info) {
  options_.file = found.file;  // whatever the environment says later
  if (found.ssh_server.empty()) {
    stamp_ = found.stamp;
  }
}

std::optional<FoundConnection> ConnectionWatch::changed() {
  const auto stamp = stamp_ ? file_stamp(options_.file) : std::nullopt;
  if (!stamp || stamp == stamp_) {
    return std::nullopt;
  }
  auto found = find_connection(options_);
  if (!found || !found->ssh_server.empty()) {
    return std::nullopt;  // gone or half written: look again later
  }
  stamp_ = found->stamp;
  if (info_ == found->info) {
    return std::nullopt;
  }
  info_ = found->info;
  return std::move(*found);
}

}  // namespace ipf::client
