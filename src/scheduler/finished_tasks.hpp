#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "scheduler/task_key.hpp"

namespace ipf {

/// How a task ended. `engine` is 0 when it never ran to an end on one.
struct TaskOutcome {
  bool succeeded{false};
  EngineKey engine{};
};

/// An outcome in 16 bytes. `engine_and_outcome`: the lowest bit says whether it succeeded.
struct RememberedOutcome {
  TaskKey task{};
  std::uint64_t engine_and_outcome{};
};

/// Remembers how the last `limit` tasks ended, for later tasks that depend on them: 16 bytes a task
/// and 4 to 8 for the index, grown only as far as needed. The oldest are forgotten first.
///
/// The index is a hash table with linear probing whose entries point into a ring. One thread.
class FinishedTasks {
 public:
  explicit FinishedTasks(std::size_t limit) : limit_(limit) {}

  /// A task that is remembered already gets the new outcome and keeps its age.
  void add(TaskKey task, TaskOutcome outcome);
  void add(const RememberedOutcome& outcome);
  [[nodiscard]] std::optional<TaskOutcome> find(TaskKey task) const;
  /// All of them, oldest first.
  [[nodiscard]] std::vector<RememberedOutcome> all() const;
  [[nodiscard]] std::size_t size() const { return ring_.size(); }
  [[nodiscard]] std::size_t limit() const { return limit_; }

 private:
  static constexpr std::uint32_t empty = 0;

  static std::uint64_t pack(TaskOutcome outcome);
  /// Place in index_ of this task, or of the empty place where it would be.
  [[nodiscard]] std::size_t place_of(TaskKey task) const;
  void forget(TaskKey task);
  void grow();

  std::size_t limit_;
  std::vector<RememberedOutcome> ring_;
  std::size_t oldest_{};              ///< in a full ring
  std::vector<std::uint32_t> index_;  ///< place in the ring + 1; a power of two many
};

}  // namespace ipf
