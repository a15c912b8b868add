#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "hub/heartbeat_machine.hpp"
#include "hub/hub_machine.hpp"
#include "hub/store_dict.hpp"
#include "scheduler/task_machine.hpp"
#include "sim/hub_checker.hpp"
#include "sim/mutation.hpp"
#include "sim/sim_engine.hpp"
#include "sim/task_checker.hpp"
#include "sim/world.hpp"

namespace ipf::sim {

/// The production machines of the controller, wired as src/controller wires them: a hub thread with
/// the hub machine, the heartbeat machine and the store; a scheduler thread with the task machine
/// and the box for messages whose connection is not there yet; a mailbox each way between them,
/// which is emptied late, in batches. Checkers stand at both machines.
///
/// restart() is a kill -9 and a new controller that takes over the engines; the store is on a disk
/// that survives.
class SimController final : public Actor, public EngineSide {
 public:
  /// The rest of the world, as the controller reaches it.
  struct Links {
    std::function<SimEngine*(std::uint32_t)> engine{};  ///< nullptr: there never was one
    std::function<void(std::uint32_t task)> answer{};   ///< a reply leaves for the task's client
  };
  SimController(World& world, Links links);

  void start();
  void restart();
  void wake(std::uint64_t token) override;

  void from_engine(std::uint32_t engine, const FromEngine& message) override;
  void engine_started(std::uint32_t engine, std::uint32_t task) override;
  void registration(std::uint32_t engine) override;
  void unregistration(std::uint32_t engine, std::int32_t id) override;
  void pong(std::uint32_t engine, const std::string& text) override;

  void submit(std::uint32_t task);
  void ask_queue_status();

  [[nodiscard]] const TaskMachine& tasks() const { return *tasks_; }
  [[nodiscard]] const HubMachine& hub() const { return *hub_; }
  [[nodiscard]] const DictStore& store() const { return store_; }
  [[nodiscard]] const TaskChecker& task_checker() const { return task_checker_; }
  /// Nothing is between the threads.
  [[nodiscard]] bool quiet() const { return inbox_.empty() && commands_.empty(); }
  /// No slot is taken and nothing is pending anywhere.
  void check_idle();
  void check_invariants(bool always);

 private:
  enum Token : std::uint64_t { inbox, hub_timer, heart_timer, commands, task_timer, outbox };
  using Command = std::variant<EngineJoined, EngineLeft, EngineSuspected, EngineTrusted>;
  /// The task connection of one engine.
  struct Peer {
    bool connected{false};
    std::deque<std::pair<TimePoint, std::uint32_t>> kept{};  ///< deadline, task
  };

  void build();
  void wake_at(TimePoint when, Token token);
  void arm_timers();

  // the hub's thread
  void hub_step(HubEvent event);
  void hub_request(std::uint32_t engine, HubRequest request);
  void take_inbox();
  void beat();
  void tell_hearts(HeartbeatMachine::Events& events);
  void post(Command command);
  void perform(SendHubReply& action);
  void perform(AnnounceEngine& action);
  void perform(RetireEngine& action);
  void perform(ExpectHeart& action);
  void perform(ForgetHeart& action);
  void perform(SaveEngineState& action);
  void perform(SuspectEngine& action);
  void perform(TrustEngine& action);
  void perform(ExplainTasks& /*action*/) {}
  void perform(PublishNotification& /*action*/) {}
  void perform(ResubmitTask& /*action*/) {}
  void perform(StopController& /*action*/) {}
  void perform(ReportStatus& /*action*/) {}
  void perform(WriteLog& /*action*/) {}

  // the scheduler's thread
  void task_step(TaskEvent event);
  void take_commands();
  void tell_hub(HubEvent event);
  void send_to_engine(std::uint32_t engine, std::uint32_t task);
  void retry_outbox();
  Peer& peer(std::uint32_t engine);
  void perform(SendTask& action);
  void perform(ForwardReply& action);
  void perform(FailTask& action);
  void perform(NoteSubmission& action);
  void perform(InterruptTask& action);
  void perform(AbortAtEngine& action);
  void perform(AnswerAgain& /*action*/) {}  // out of the record, which checks are made on
  void perform(TaskLog& /*action*/) {}

  World& world_;
  Links links_;
  TaskMachineOptions task_options_{};
  HubOptions hub_options_{};
  HeartbeatMachine::Options heart_options_{};
  DictStore store_;
  std::unique_ptr<HubMachine> hub_;
  std::unique_ptr<HeartbeatMachine> hearts_;
  std::unique_ptr<TaskMachine> tasks_;
  TaskChecker task_checker_;
  HubChecker hub_checker_{};
  Mutation mutation_;
  std::deque<HubEvent> inbox_;
  std::deque<Command> commands_;
  std::vector<Peer> peers_;
  std::size_t kept_{};
  std::string saved_engines_;
  std::uint64_t era_{0};  ///< of this controller; wake-ups of an earlier one do not count
  std::vector<TimePoint> armed_;
  TaskActions task_actions_;
  HubActions hub_actions_;
  std::uint64_t steps_{};
};

}  // namespace ipf::sim
