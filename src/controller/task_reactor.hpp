#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "controller/client_routes.hpp"
#include "controller/engine_outbox.hpp"
#include "controller/hub_link.hpp"
#include "controller/queue_figures.hpp"
#include "controller/recent_replies.hpp"
#include "controller/rejection_log.hpp"
#include "controller/thread_link.hpp"
#include "journal/spill_store.hpp"
#include "journal/task_journal.hpp"
#include "net/io_loop.hpp"
#include "net/loop_sources.hpp"
#include "net/zmtp_router.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/session.hpp"
#include "scheduler/backlog.hpp"
#include "scheduler/task_key.hpp"
#include "scheduler/task_machine.hpp"

namespace ipf {

/// Sockets and clock of the task scheduler: receives, verifies, reads the few fields that matter,
/// steps the TaskMachine and performs its actions. run() is the thread; commands() is the only
/// member that other threads may use meanwhile.
class TaskReactor {
 public:
  TaskReactor(const NetLimits& limits,
              const Signer& signer,
              SeenSignatures& seen,
              const TaskMachineOptions& options,
              HubMailbox& hub,
              Log& log);

  [[nodiscard]] ZmtpRouter& clients() { return clients_; }
  [[nodiscard]] ZmtpRouter& engines() { return engines_; }
  [[nodiscard]] TaskMailbox& commands() { return commands_; }
  /// Of the last round; any thread.
  [[nodiscard]] QueueFigures figures() const { return board_.read(); }

  /// From now on every task is written to this journal.
  void keep_journal(TaskJournal journal);
  /// What an earlier controller knew; run() begins with it.
  void restore(JournalContents contents) { restored_ = std::move(contents); }
  /// Limits of what waits, and where large buffers go when there is too much in memory.
  void limit(const Backlog::Limits& limits, SpillStore::Options spill);
  /// How commands get to the relay thread; before run().
  void connect(std::function<void(RelayCommand)> to_relay) { to_relay_ = std::move(to_relay); }

  void run(const std::stop_token& stop);
  /// Ends a wait of run(), after a stop was requested.
  void wake() { wakeup_.signal(); }

 private:
  void take_up_restored();
  [[nodiscard]] Message readdressed(const Message& request) const;
  void restore_result(TimePoint now, JournaledTask& task, Message request);
  /// Sends engines whose connection has been replaced once more what they have not answered.
  void send_again(TimePoint now);
  void flush(TimePoint now);
  void write_figures();
  /// The request of a task that the machine has taken; large buffers go to disk if need be.
  Message spilled(TimePoint now, Message request);
  void count_in(const Message& request);
  void count_out(const Message& request);
  void apply_limits();
  /// To the client that sent `request`, wherever it is now.
  void send_to_client(TimePoint now,
                      const Message& request,
                      std::span<const std::string_view> route,
                      const Frames& frames,
                      std::size_t from);
  void take_commands(TimePoint now);
  void obey(TimePoint now, EngineAnnounced& command);
  void obey(TimePoint now, EngineRetired& command);
  void obey(TimePoint now, EngineSuspected& command) { step(now, std::move(command)); }
  void obey(TimePoint now, EngineTrusted& command) { step(now, std::move(command)); }
  void obey(TimePoint now, TaskStarted& command) { step(now, std::move(command)); }
  void obey(TimePoint now, ExplainTasks& command);
  void obey(TimePoint now, ResubmitTask& command);
  void receive_requests(TimePoint now);
  void receive_replies(TimePoint now);
  void submit(TimePoint now, Message request);
  void refuse(TimePoint now,
              const Message& request,
              const std::string& msg_id,
              const RemoteFailure& failure);
  void step(TimePoint now, TaskEvent event);
  void perform(TimePoint now, SendTask& action);
  void perform(TimePoint now, ForwardReply& action);
  void perform(TimePoint now, FailTask& action);
  void perform(TimePoint now, NoteSubmission& action);
  void perform(TimePoint now, NoteReturn& action);
  void perform(TimePoint now, InterruptTask& action);
  void perform(TimePoint now, AbortAtEngine& action);
  void perform(TimePoint now, AnswerAgain& action);
  void perform(TimePoint now, TaskLog& action);

  const Signer& signer_;
  std::uint64_t signed_anew_{};  ///< each time the signature is another one
  HubLink hub_;
  std::function<void(RelayCommand)> to_relay_;
  Log& log_;
  IoLoop loop_;
  ZmtpRouter clients_;
  ZmtpRouter engines_;
  LoopWakeup wakeup_{loop_};
  TaskMailbox commands_;
  ClientRoutes routes_{clients_, signer_.refuses_dates()};
  TaskMachine machine_;
  std::optional<TaskJournal> journal_;
  JournalContents restored_;
  RecentReplies recent_;
  Backlog backlog_{{}};
  std::optional<SpillStore> spill_;
  TimePoint spill_again_{};
  EngineOutbox outbox_;
  HeaderReader reader_;
  ReplayGuard replays_;
  Session session_;
  RejectionLog rejections_;
  std::uint64_t finished_{};
  std::uint64_t failed_{};
  QueueBoard board_;
  TaskActions actions_;
  std::vector<EngineControlled> controls_;  ///< to be sent once the journal is written
  std::vector<TaskCommand> spare_commands_;
  std::vector<std::string> undeliverable_;
};

}  // namespace ipf
