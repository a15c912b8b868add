#pragma once

#include <deque>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/client_routes.hpp"
#include "controller/engine_outbox.hpp"
#include "controller/queue_figures.hpp"
#include "controller/rejection_log.hpp"
#include "controller/thread_link.hpp"
#include "net/zmtp_router.hpp"
#include "protocol/error_content.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/session.hpp"
#include "scheduler/open_requests.hpp"

namespace ipf {

/// A pair of ROUTERs that carries messages between clients and the engines that they name: the mux
/// queue (recorded by the hub) and the control queue (not recorded). One thread.
///
/// `[client, engine, <IDS|MSG>, ...]` becomes `[engine, client, <IDS|MSG>, ...]` and the other way
/// round; the signed frames pass unchanged. Unlike the reference's bare relay it checks every
/// signature, refuses replays, and answers a request to an unknown engine with an error. On the
/// recorded queue an engine answers an apply or execute request only if it was sent to it, and
/// once; but with a key that was in use before, it may answer an earlier controller's.
class PairRelay {
 public:
  struct Options {
    std::string name{};    ///< "mux" or "control": log lines and socket identities
    bool recorded{false};  ///< tell the hub, and take only replies to what was asked
    NetLimits net{};
    OpenRequests::Options open{};
  };

  PairRelay(IoLoop& loop,
            const Signer& signer,
            SeenSignatures& seen,
            Options options,
            Session& session,
            Log& log);

  [[nodiscard]] ZmtpRouter& clients() { return clients_; }
  [[nodiscard]] ZmtpRouter& engines() { return engines_; }

  void engine_announced(const std::string& uuid);
  void engine_retired(TimePoint now, const std::string& uuid);

  /// Relays what the loop has received; events for the hub are appended to `to_hub`.
  void receive_requests(TimePoint now, std::vector<HubEvent>& to_hub);
  void receive_replies(TimePoint now, std::vector<HubEvent>& to_hub);
  /// Sends an engine a request of the controller's own; replies to it go nowhere.
  void request(TimePoint now,
               const std::string& engine_uuid,
               std::string_view msg_type,
               std::string_view content);
  void retry(TimePoint now);
  /// Sends what was written since the last time. Once a round.
  void flush(TimePoint now);
  [[nodiscard]] TimePoint next_deadline(TimePoint now) const;
  /// As of the last flush(); any thread.
  [[nodiscard]] QueueFigures figures() const { return board_.read(); }

 private:
  void route(TimePoint now, Message request, std::vector<HubEvent>& to_hub);
  [[nodiscard]] bool is_always_answered(std::string_view msg_type) const;
  /// False when the request must not go on; the client has been told, unless it asked twice.
  bool note_open(TimePoint now, const Message& request, const HeaderView& header);
  [[nodiscard]] bool is_awaited(const Message& reply, const HeaderView& parent);
  void forget_retired(TimePoint now);
  void write_figures();
  /// Sends engines whose connection has been replaced once more what they have not answered. Byte
  /// for byte, so they drop what they have, and answer again what they have answered.
  void send_again(TimePoint now);
  void answer_unknown(const Message& request, std::string_view msg_type);
  void answer(const Message& request, std::string_view msg_type, const RemoteFailure& failure);

  const Signer& signer_;
  Options options_;
  Session& session_;
  ZmtpRouter clients_;
  ZmtpRouter engines_;
  ClientRoutes routes_{clients_, signer_.refuses_dates()};
  EngineOutbox outbox_;
  std::set<std::string, std::less<>> known_;
  OpenRequests open_;
  std::deque<std::pair<TimePoint, std::string>> retired_;  ///< when to forget their requests
  HeaderReader reader_;
  ReplayGuard replays_;
  RejectionLog rejections_;
  std::uint64_t finished_{};
  std::uint64_t failed_{};
  QueueBoard board_;
};

}  // namespace ipf
