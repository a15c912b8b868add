#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/queue_figures.hpp"
#include "controller/rejection_log.hpp"
#include "controller/thread_link.hpp"
#include "hub/heartbeat_machine.hpp"
#include "hub/hub_machine.hpp"
#include "net/accept_relief.hpp"
#include "net/poller.hpp"
#include "net/socket.hpp"
#include "net/wakeup.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/session.hpp"

namespace ipf {

/// Sockets and clocks of the hub: registration and queries, notifications, hearts. Feeds the
/// HubMachine and the HeartbeatMachine and performs what they order. run() is the thread; inbox()
/// is the only member that other threads may use meanwhile.
class HubReactor {
 public:
  struct Options {
    HubOptions hub{};
    HeartbeatMachine::Options hearts{};
    std::filesystem::path engine_state_file{};
  };
  /// Called on the hub's thread.
  struct Links {
    std::function<void(TaskCommand)> to_tasks{};
    std::function<void(RelayCommand)> to_relays{};
    std::function<void()> stop_controller{};
    /// What the other threads have done.
    std::function<std::vector<std::pair<std::string_view, QueueFigures>>()> queues{};
  };

  HubReactor(NetContext& context,
             const Signer& signer,
             SeenSignatures& seen,
             const Options& options,
             std::unique_ptr<Store> store,
             Log& log);
  HubReactor(const HubReactor&) = delete;
  HubReactor& operator=(const HubReactor&) = delete;
  ~HubReactor();

  [[nodiscard]] Socket& registration() { return registration_; }
  [[nodiscard]] Socket& notification() { return notification_; }
  [[nodiscard]] Socket& hb_ping() { return hb_ping_; }
  [[nodiscard]] Socket& hb_pong() { return hb_pong_; }
  [[nodiscard]] const char* store_name() const { return store_->name(); }
  /// For all of libzmq's sockets that listen; run() looks after them.
  [[nodiscard]] AcceptRelief& relief() { return relief_; }
  [[nodiscard]] HubMailbox& inbox() { return inbox_; }
  void connect(Links links) { links_ = std::move(links); }

  /// Takes up the engines that the state file names; to be called before run(), after connect().
  Result<void> restore();
  void run(const std::stop_token& stop);
  void wake() { wakeup_.signal(); }
  /// Writes the figures that a status_request gets to the log; any thread.
  void log_status() {
    status_wanted_ = true;
    wake();
  }

 private:
  void receive_requests();
  void receive_pongs();
  void receive_subscriptions();
  void take_inbox();
  void beat();
  void tell_hearts(HeartbeatMachine::Events& events);
  void step(HubEvent event);
  void perform(SendHubReply& action);
  void perform(PublishNotification& action);
  void perform(AnnounceEngine& action) const;
  void perform(RetireEngine& action) const;
  void perform(ExplainTasks& action) const;
  void perform(SuspectEngine& action) const;
  void perform(TrustEngine& action) const;
  void perform(ExpectHeart& action);
  void perform(ForgetHeart& action);
  void perform(ResubmitTask& action) const;
  void perform(SaveEngineState& action);
  void perform(StopController& action) const;
  void perform(ReportStatus& action);
  [[nodiscard]] Json status() const;
  void perform(WriteLog& action);

  const Signer& signer_;
  Log& log_;
  std::filesystem::path engine_state_file_;
  std::unique_ptr<Store> store_;
  Links links_;
  Socket registration_;
  Socket notification_;
  Socket hb_ping_;
  Socket hb_pong_;
  AcceptRelief relief_;
  Wakeup wakeup_;
  HubMailbox inbox_;
  Mailbox<StoreAnswered> answers_;  ///< holds as many as there can be questions: nobody waits at it
  HubMachine machine_;
  HeartbeatMachine hearts_;
  HeaderReader reader_;
  ReplayGuard replays_;
  Session session_;
  RejectionLog rejections_;
  HubActions actions_;
  std::vector<HubEvent> taken_;
  std::vector<StoreAnswered> answered_;
  TimePoint retry_at_{TimePoint::never()};  ///< when the store had no room
  std::atomic<bool> status_wanted_{false};
  const TimePoint started_{steady_now()};
  TimePoint now_{};
  WallTime wall_{};
};

}  // namespace ipf
