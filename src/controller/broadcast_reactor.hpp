#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "controller/engine_outbox.hpp"
#include "controller/rejection_log.hpp"
#include "controller/thread_link.hpp"
#include "net/poller.hpp"
#include "net/socket.hpp"
#include "net/wakeup.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/json_text.hpp"
#include "protocol/session.hpp"
#include "scheduler/broadcast_machine.hpp"

namespace ipf {

/// Sockets of the broadcast scheduler. It is the only one that signs anew what it passes on,
/// because each engine gets a msg_id of its own. run() is the thread.
class BroadcastReactor {
 public:
  BroadcastReactor(NetContext& context, const Signer& signer, HubMailbox& hub, Log& log);

  [[nodiscard]] Socket& clients() { return clients_; }
  [[nodiscard]] Socket& engines() { return engines_; }
  [[nodiscard]] RelayMailbox& commands() { return commands_; }

  void run(const std::stop_token& stop);
  void wake() { wakeup_.signal(); }

 private:
  void take_commands();
  void receive_requests();
  void receive_replies();
  void step(BroadcastEvent event);
  void perform(SendLeg& action);
  void perform(ForwardLeg& action);
  void perform(FailLeg& action);
  void perform(SendCoalesced& action);
  void perform(TaskLog& action);
  /// The request as one leg's engine sees it; nothing if its JSON cannot be read.
  std::optional<Message> make_leg(const Message& request, const BroadcastTarget& target);

  const Signer& signer_;
  Log& log_;
  Session session_;
  Socket clients_;
  Socket engines_;
  Wakeup wakeup_;
  RelayMailbox commands_;
  BroadcastMachine machine_;
  EngineOutbox outbox_;
  HeaderReader reader_;
  ReplayGuard replays_;
  RejectionLog rejections_;
  BroadcastActions actions_;
  std::vector<RelayCommand> taken_;
  TimePoint now_{};
};

}  // namespace ipf
