#include "client/connection.hpp"

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

Result<void> check_supported(const ConnectionInfo& info, const std::string& source) {
  if (info.curve_serverkey && !info.curve_serverkey->empty()) {
    return unexpected(ErrorCode::unavailable,
                      source + " asks for CURVE encryption, which this client does not support");
  }
  if (!info.ssh.empty()) {
    return unexpected(ErrorCode::unavailable, source + " asks for an ssh tunnel by way of '" +
                                                  info.ssh +
                                                  "', which this client does not support");
  }
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
  IPF_TRY(
      check_supported(found.info, found.file.empty() ? "the connection information" : found.file));
  auto interface = reachable_interface(found.info.interface, found.info.location);
  if (!interface) {
    return unexpected(interface.error());
  }
  found.interface = std::move(*interface);
  return found;
}

}  // namespace ipf::client
