#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/clock.hpp"
#include "core/ids.hpp"
#include "hub/hub_events.hpp"

namespace ipf {

/// Which task is where: what queue_request, load_request and result_request ask, and what an engine
/// that dies leaves behind. Knows msg_ids only; the frames are in the store.
///
/// | a msg_id is | in                                | until                     |
/// |-------------|-----------------------------------|---------------------------|
/// | unassigned  | `unassigned_`: load-balanced      | assign(), finish()        |
/// | on engine   | `direct` or `tasks` of one engine | the same, remove_engine() |
/// | stranded    | `gone_`: direct, engine not there | finish(), take_stranded() |
/// | elsewhere   | `elsewhere_`: broadcast to many   | finish()                  |
/// | completed   | `completed_`: a hash of it        | completed_max later ones  |
///
/// Load-balanced tasks of an engine that is gone are unassigned until the scheduler moves or fails
/// them. A direct request for an engine that is not there is stranded from the beginning.
///
/// Invariants: a pending msg_id is in exactly one list; the lists' lengths add up to the pending
/// count; stranded deadlines do not fall. What happens for each task costs O(1), the rest O(tasks
/// of that engine). One thread. Pure.
class TaskLedger {
 public:
  struct Options {
    std::size_t pending_max{1'000'000};
    std::size_t completed_max{65'536};           ///< hashes of completed msg_ids
    std::size_t completed_per_engine_max{1000};  ///< msg_ids kept for a verbose queue_request
  };
  struct Stranded {
    std::string msg_id{};
    std::string engine_uuid{};
    EngineId engine_id{};  ///< -1 if the engine was never known
  };
  /// What one engine has to do and has done.
  struct EngineQueues {
    std::vector<std::string> direct{};
    std::vector<std::string> tasks{};
    std::vector<std::string> completed{};  ///< the last ones
  };
  struct EngineCounts {
    std::size_t direct{};
    std::size_t tasks{};
    std::size_t completed{};
  };

  explicit TaskLedger(const Options& options) : options_(options) {}
  TaskLedger(const TaskLedger&) = delete;
  TaskLedger& operator=(const TaskLedger&) = delete;

  /// A request passed. `strand_at` is its deadline if its engine is not there. False when it is
  /// pending already or there is no room (rejected_count() grows).
  bool add(std::string msg_id,
           TaskQueue queue,
           const std::string& engine_uuid,
           TimePoint strand_at);
  void assign(const std::string& msg_id, const std::string& engine_uuid);
  /// The reply passed; `engine_uuid` names who gets the credit. False when it was not pending.
  bool finish(std::string msg_id, const std::string& engine_uuid);

  void add_engine(const std::string& uuid);
  void remove_engine(const std::string& uuid, EngineId id, TimePoint strand_at);
  /// Direct messages whose grace is over; they are completed now.
  std::vector<Stranded> take_stranded(TimePoint now);

  [[nodiscard]] bool is_pending(const std::string& msg_id) const {
    return pending_.contains(msg_id);
  }
  [[nodiscard]] bool is_completed(const std::string& msg_id) const;
  [[nodiscard]] EngineCounts counts(const std::string& engine_uuid) const;
  [[nodiscard]] EngineQueues queues(const std::string& engine_uuid) const;
  [[nodiscard]] std::size_t unassigned_count() const { return unassigned_.size; }
  [[nodiscard]] std::vector<std::string> unassigned() const { return names(unassigned_); }
  [[nodiscard]] std::size_t pending_count() const { return pending_.size(); }
  [[nodiscard]] std::size_t room() const { return options_.pending_max - pending_.size(); }
  [[nodiscard]] std::size_t rejected_count() const { return rejected_; }
  [[nodiscard]] bool has_engine(const std::string& uuid) const { return engines_.contains(uuid); }
  [[nodiscard]] std::size_t engine_count() const { return engines_.size(); }
  [[nodiscard]] TimePoint next_deadline() const;
  void check_invariants() const;

 private:
  struct Node;
  /// Intrusive list of pending tasks in order of arrival.
  struct TaskList {
    Node* first{nullptr};
    Node* last{nullptr};
    std::size_t size{};
  };
  struct Node {
    TaskQueue queue{};
    TaskList* list{nullptr};
    const std::string* msg_id{nullptr};  ///< the key under which the node is stored
    Node* previous{nullptr};
    Node* next{nullptr};
  };
  struct Engine {
    TaskList direct{};
    TaskList tasks{};
    std::size_t completed_count{};
    std::deque<std::string> completed{};
  };
  struct Gone {
    std::string uuid{};
    EngineId id{};
    TimePoint deadline{};
    TaskList direct{};
  };

  static void append(TaskList& list, Node& node);
  static void unlink(Node& node);
  static void move_all(TaskList& from, TaskList& to);
  static std::vector<std::string> names(const TaskList& list);
  void place(Node& node, const std::string& engine_uuid, TimePoint strand_at);
  void remember_completed(const std::string& msg_id);
  void check_list(const TaskList& list, std::size_t& total) const;

  const Options options_;
  std::unordered_map<std::string, Node> pending_;
  std::unordered_map<std::string, Engine> engines_;
  std::list<Gone> gone_;  ///< oldest deadline first
  TaskList unassigned_;
  TaskList elsewhere_;
  std::unordered_set<std::uint64_t> completed_;
  std::deque<std::uint64_t> completed_order_;
  std::size_t rejected_{};
};

}  // namespace ipf
