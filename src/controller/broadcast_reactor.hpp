#pragma once

#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "controller/client_routes.hpp"
#include "controller/coalesced_leg.hpp"
#include "controller/engine_outbox.hpp"
#include "controller/hub_link.hpp"
#include "controller/leg_writer.hpp"
#include "controller/queue_figures.hpp"
#include "controller/rejection_log.hpp"
#include "controller/thread_link.hpp"
#include "net/io_loop.hpp"
#include "net/loop_sources.hpp"
#include "net/zmtp_router.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/session.hpp"
#include "scheduler/broadcast_machine.hpp"

namespace ipf {

/// Sockets of the broadcast scheduler. It is the only one that signs anew what it passes on,
/// because each engine gets a msg_id of its own. run() is the thread.
///
/// The hub records each leg of a plain call under the msg_id that the client's future has, and a
/// coalescing call as one task.
///
/// Calls that were open when an earlier controller was killed: a plain one's replies pass to the
/// session that asked. What was collected for a coalescing one is gone; at the first reply that
/// comes its client gets an error.
class BroadcastReactor {
 public:
  BroadcastReactor(const NetLimits& limits,
                   const Signer& signer,
                   SeenSignatures& seen,
                   HubMailbox& hub,
                   Log& log);

  [[nodiscard]] ZmtpRouter& clients() { return clients_; }
  [[nodiscard]] ZmtpRouter& engines() { return engines_; }
  [[nodiscard]] RelayMailbox& commands() { return commands_; }
  /// As of the last round; any thread.
  [[nodiscard]] QueueFigures figures() const { return board_.read(); }

  void run(const std::stop_token& stop);
  void wake() { wakeup_.signal(); }

 private:
  void take_commands();
  void receive_requests();
  void submit(Message request);
  void refuse(const Message& request, std::string_view msg_type, const Error& error);
  /// Sends engines whose connection has been replaced once more what they have not answered. Byte
  /// for byte, so they drop what they have, and answer again what they have answered.
  void send_again();
  void receive_replies();
  void take_reply(Message reply);
  /// A reply to a leg that an earlier controller sent.
  void take_earlier(Message reply, const std::string& msg_id, const std::string& session);
  void fail_earlier(const CoalescedLeg& leg, const std::string& session);
  void send_to_client(const Message& request, const Frames& frames, std::size_t from);
  void retry();
  void step(BroadcastEvent event);
  void perform(NoteCall& action);
  void perform(SendLegs& action);
  void perform(ForwardLeg& action);
  void perform(FailLeg& action);
  void perform(SendCoalesced& action);
  void perform(TaskLog& action);
  void note_request(std::string msg_id, std::string engine_uuid, Message request);
  void note_reply(std::string msg_id, std::string engine_uuid, Message reply);

  Log& log_;
  const Signer& signer_;
  HubLink hub_;
  Session session_;
  IoLoop loop_;
  ZmtpRouter clients_;
  ZmtpRouter engines_;
  LoopWakeup wakeup_{loop_};
  RelayMailbox commands_;
  ClientRoutes routes_{clients_, signer_.refuses_dates()};
  BroadcastMachine machine_;
  EngineOutbox outbox_;
  LegWriter writer_;
  HeaderReader reader_;
  ReplayGuard replays_;
  RejectionLog rejections_;
  std::uint64_t finished_{};
  std::uint64_t failed_{};
  QueueBoard board_;
  BroadcastActions actions_;
  std::vector<RelayCommand> taken_;
  std::vector<LegUndeliverable> undeliverable_;
  static constexpr std::size_t failed_earlier_max = 10'000;
  std::set<std::string> failed_earlier_;  ///< coalescing calls of an earlier controller
  TimePoint now_{};
};

}  // namespace ipf
