#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "hub/heartbeat_machine.hpp"
#include "hub/hub_machine.hpp"
#include "hub/store_dict.hpp"
#include "scheduler/task_machine.hpp"
#include "sim/direct_lane.hpp"
#include "sim/hub_checker.hpp"
#include "sim/late_store.hpp"
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
/// restart() is a kill -9 and a new controller that takes over the engines and, if there is a
/// journal, the tasks. The store is on a disk that survives, and so is the journal: its bytes, as
/// src/scheduler/journal_format makes them, up to where the write had got.
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
  /// Asks the database for the whole history; each question must get one answer.
  void ask_history();
  [[nodiscard]] DirectLane& direct() { return direct_; }

  [[nodiscard]] const TaskMachine& tasks() const { return *tasks_; }
  [[nodiscard]] const HubMachine& hub() const { return *hub_; }
  [[nodiscard]] const DictStore& store() const { return store_; }
  [[nodiscard]] const TaskChecker& task_checker() const { return task_checker_; }
  /// Nothing is between the threads.
  [[nodiscard]] bool quiet() const {
    return inbox_.empty() && commands_.empty() && outgoing_.empty() && to_hub_.empty();
  }
  /// No slot is taken and nothing is pending anywhere.
  void check_idle();
  void check_invariants(bool always);

 private:
  enum Token : std::uint64_t {
    inbox,
    hub_timer,
    heart_timer,
    commands,
    task_timer,
    outbox,
    round_end
  };
  using Command = std::variant<EngineJoined, EngineLeft, EngineSuspected, EngineTrusted>;
  struct Kept {
    TimePoint deadline{};
    std::uint32_t task{none};
    bool again{false};
  };
  /// The task connection of one engine.
  struct Peer {
    bool connected{false};
    std::deque<Kept> kept{};
  };
  /// What the scheduler's thread has written but not sent: it leaves in this order.
  struct Outgoing {
    enum class To : std::uint8_t { signal, abort, engine, client };
    To to{};
    std::uint32_t engine{none};
    std::uint32_t task{none};
    int signal{};
    bool again{false};
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
  void send_to_engine(std::uint32_t engine, std::uint32_t task, bool again);
  void put(const Outgoing& message);
  void deliver(const Outgoing& message);
  /// The journal first, then the hub, then the engines, then the clients.
  void flush_round();
  void lose_round();
  // As the real journal: what is in it already is not submitted again, and what is not, neither
  // moves nor ends.
  void journal_submission(std::uint32_t task, const std::string& msg_id, const Message& request);
  void journal_assignment(std::uint32_t task, const std::string& msg_id, const std::string& engine);
  void journal(std::uint32_t task, const std::function<void()>& append);
  void journal_answer(std::uint32_t task,
                      const std::string& engine_uuid,
                      const Message& reply,
                      const std::string& msg_id,
                      bool made_here);
  void begin_journal_anew();
  void take_up_journal();
  void retry_outbox();
  Peer& peer(std::uint32_t engine);
  void perform(SendTask& action);
  void perform(ForwardReply& action);
  void perform(FailTask& action);
  void perform(NoteSubmission& action);
  void perform(NoteReturn& action);
  void perform(InterruptTask& action);
  void perform(AbortAtEngine& action);
  void perform(AnswerAgain& action);
  void perform(TaskLog& /*action*/) {}

  World& world_;
  Links links_;
  TaskMachineOptions task_options_{};
  HubOptions hub_options_{};
  HeartbeatMachine::Options heart_options_{};
  DictStore store_;
  LateStore late_store_;
  DirectLane direct_;
  std::uint32_t asked_{};  ///< questions to the database
  std::uint32_t told_{};   ///< answers to them
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
  std::string disk_;                                      ///< the journal's file
  std::string unwritten_;                                 ///< of this round
  std::unordered_set<std::uint32_t> journaled_;           ///< open tasks in it
  std::unordered_set<std::uint32_t> unwritten_tasks_;     ///< of whom records are in unwritten_
  std::unordered_map<std::uint32_t, TimePoint> settled_;  ///< when answered tasks may be left out
  std::unordered_set<std::uint32_t> recent_;              ///< an earlier controller's replies
  std::vector<Outgoing> outgoing_;
  std::vector<HubEvent> to_hub_;
  TaskActions task_actions_;
  HubActions hub_actions_;
  std::uint64_t steps_{};
};

}  // namespace ipf::sim
