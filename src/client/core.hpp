#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unistd.h>
#include <vector>

#include "client/client_reactor.hpp"
#include "client/connection.hpp"
#include "client/request_writer.hpp"
#include "client/result_board.hpp"
#include "ipyfleet/client.hpp"
#include "launcher/ssh_tunnel.hpp"
#include "protocol/signer.hpp"

namespace ipf::client {

/// What a Client and its views share: the parts, and the sending of requests. Functions may be
/// called from any thread and throw ClientError.
class Core {
 public:
  Core(const ConnectOptions& options, const ClientLimits& limits);

  void check_process() const;
  [[nodiscard]] bool forked() const { return getpid() != process_; }

  Request send(const RequestSpec& spec);
  std::vector<Request> send_broadcast(const RequestSpec& spec, std::span<const std::string> uuids);
  /// The request that a message id names, if it is one of ours and still known.
  [[nodiscard]] StatePtr find(std::string_view msg_id) const;
  /// Waits for the controller's first answer; throws when there is none.
  void connect(Timeout timeout) const;
  /// The same; false when there is none in time. Throws when the tunnel to it failed.
  [[nodiscard]] bool wait_connected(Timeout timeout) const;
  /// All engines, or those with these ids.
  [[nodiscard]] std::vector<EngineInfo> engines(std::span<const int> ids) const;

  FoundConnection found;
  std::unique_ptr<SshTunnel> tunnel;  ///< `found` points into it; may be null
  Signer signer;
  std::string session;
  RequestWriter writer;
  ResultBoard board;
  ClientReactor reactor;

 private:
  pid_t process_{getpid()};
};

}  // namespace ipf::client
