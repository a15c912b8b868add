#pragma once

#include <deque>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "controller/coalesced_leg.hpp"
#include "controller/hub_link.hpp"
#include "controller/pair_relay.hpp"
#include "controller/rejection_log.hpp"
#include "controller/thread_link.hpp"
#include "net/io_loop.hpp"
#include "net/loop_sources.hpp"
#include "net/zmtp_publisher.hpp"
#include "net/zmtp_router.hpp"
#include "protocol/session.hpp"
#include "scheduler/coalesced_ends.hpp"
#include "scheduler/subscription_gate.hpp"

namespace ipf {

/// The thread that carries what needs no decision: mux, control and iopub. The hub gets a handle
/// of each message that it records, never a copy.
class RelayReactor {
 public:
  RelayReactor(const NetLimits& limits,
               const Signer& signer,
               SeenSignatures& seen,
               HubMailbox& hub,
               Log& log);

  [[nodiscard]] PairRelay& mux() { return mux_; }
  [[nodiscard]] PairRelay& control() { return control_; }
  [[nodiscard]] ZmtpPublisher& iopub_clients() { return iopub_clients_; }
  [[nodiscard]] ZmtpRouter& iopub_engines() { return iopub_engines_; }
  [[nodiscard]] RelayMailbox& commands() { return commands_; }
  /// Of iopub, as of the last round; any thread.
  [[nodiscard]] QueueFigures output_figures() const { return board_.read(); }

  /// How commands get to the task scheduler's thread; before run().
  void connect(std::function<void(TaskCommand)> to_tasks) { to_tasks_ = std::move(to_tasks); }

  void run(const std::stop_token& stop);
  void wake() { wakeup_.signal(); }

 private:
  void take_commands(TimePoint now);
  void obey(TimePoint now, EngineAnnounced& command);
  void obey(TimePoint now, EngineRetired& command);
  void obey(TimePoint now, ClientConnected& command);
  void obey(TimePoint now, EngineControlled& command);
  void receive_subscriptions(TimePoint now);
  void receive_outputs(TimePoint now);
  /// Forwards what was held back, up to the first output whose client is still awaited.
  void release_held(TimePoint now);
  [[nodiscard]] bool must_wait(TimePoint now, const Message& output);
  void forward(Message output);
  /// Remembers what the engine runs, from its `status` messages.
  void note_status(const Message& status, std::string_view engine_uuid);
  /// Publishes the end of a coalescing call's outputs when this leg's was the last (CoalescedEnds).
  void end_leg(const CoalescedLeg& leg);

  const Signer& signer_;
  HubLink hub_;
  std::function<void(TaskCommand)> to_tasks_;
  Session session_;
  IoLoop loop_;
  PairRelay mux_;
  PairRelay control_;
  ZmtpPublisher iopub_clients_;
  ZmtpRouter iopub_engines_;
  LoopWakeup wakeup_{loop_};
  RelayMailbox commands_;
  HeaderReader reader_;
  RejectionLog rejected_outputs_;
  QueueBoard board_;
  SubscriptionGate gate_;
  CoalescedEnds coalesced_;
  /// The request that each engine has begun and not ended; empty: none.
  std::unordered_map<std::string, std::string> begun_;
  std::deque<Message> held_;
  std::vector<RelayCommand> taken_;
};

}  // namespace ipf
