#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controller/client_routes.hpp"
#include "controller/engine_outbox.hpp"
#include "controller/rejection_log.hpp"
#include "controller/thread_link.hpp"
#include "net/zmtp_router.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/session.hpp"

namespace ipf {

/// A pair of ROUTERs that carries messages between clients and the engines that they name: the mux
/// queue (recorded by the hub) and the control queue (not recorded). One thread.
///
/// `[client, engine, <IDS|MSG>, ...]` becomes `[engine, client, <IDS|MSG>, ...]` and the other way
/// round; the signed frames pass unchanged. Unlike the reference's bare relay it checks every
/// signature, refuses replays, and answers a request to an unknown engine with an error.
class PairRelay {
 public:
  struct Options {
    std::string name{};    ///< "mux" or "control": log lines and socket identities
    bool recorded{false};  ///< tell the hub about requests and replies
  };

  PairRelay(IoLoop& loop, const Signer& signer, Options options, Session& session, Log& log);

  [[nodiscard]] ZmtpRouter& clients() { return clients_; }
  [[nodiscard]] ZmtpRouter& engines() { return engines_; }

  void engine_announced(const std::string& uuid) { known_.insert(uuid); }
  void engine_retired(const std::string& uuid);

  /// Relays what the loop has received; events for the hub are appended to `to_hub`.
  void receive_requests(TimePoint now, std::vector<HubEvent>& to_hub);
  void receive_replies(TimePoint now, std::vector<HubEvent>& to_hub);
  void retry(TimePoint now);
  /// Sends what was written since the last time. Once a round.
  void flush(TimePoint now);
  [[nodiscard]] TimePoint next_deadline(TimePoint now) const;

 private:
  void route(TimePoint now, Message request, std::vector<HubEvent>& to_hub);
  void answer_unknown(const Message& request, std::string_view msg_type);

  const Signer& signer_;
  Options options_;
  Session& session_;
  ZmtpRouter clients_;
  ZmtpRouter engines_;
  ClientRoutes routes_{clients_};
  EngineOutbox outbox_;
  std::set<std::string, std::less<>> known_;
  HeaderReader reader_;
  ReplayGuard replays_;
  RejectionLog rejections_;
};

}  // namespace ipf
