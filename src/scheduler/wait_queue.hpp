#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <queue>
#include <unordered_map>
#include <vector>

namespace ipf {

/// What a queue has to know of a task that waits. A task waits while it has a stamp; each time that
/// it begins to wait it gets another one, so entries of an earlier time are void.
struct Waiter {
  std::uint64_t wait_stamp{};  ///< 0: does not wait
  std::uint64_t ticket{};      ///< order of submission, unique
  std::uint64_t client{};
  int priority{};
};

/// Tasks that wait: higher priorities first, among equals the clients in turn, and each client's
/// tasks in the order of their submission.
///
/// A task may stand in several queues. When it is taken from one its entries in the others become
/// void and are dropped lazily: at the front, and by a sweep whenever a queue has doubled. push,
/// front and pop cost O(log distinct priorities); O(log n) for a task that comes back with an old
/// ticket. Tasks are borrowed and must outlive the queue. One thread.
class WaitQueue {
 public:
  void push(Waiter& task);
  /// The next task, or nullptr.
  Waiter* front();
  /// Takes the task that front() has just returned.
  void pop();
  void clear() { *this = WaitQueue(); }

  /// Entries, void ones included.
  [[nodiscard]] std::size_t entry_count() const { return entry_count_; }
  /// Calls `visit(Waiter&)` for each task, in no order worth relying on.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [priority, level] : levels_) {
      for (const auto& [client, line] : level.lines) {
        for (const auto* entries : {&line.in_order, &line.early}) {
          for (const Entry& entry : *entries) {
            if (entry.valid()) {
              visit(*entry.task);
            }
          }
        }
      }
    }
  }

 private:
  struct Entry {
    Waiter* task{};
    std::uint64_t stamp{};
    std::uint64_t ticket{};
    [[nodiscard]] bool valid() const { return task->wait_stamp == stamp; }
  };
  /// One client's tasks.
  struct Line {
    std::deque<Entry> in_order{};  ///< tickets ascend
    std::deque<Entry> early{};     ///< a heap of those whose ticket came too late for in_order
    bool in_turn{false};
  };
  struct Level {
    std::unordered_map<std::uint64_t, Line> lines{};
    std::deque<Line*> turns{};  ///< the lines that have entries
  };

  static bool later(const Entry& a, const Entry& b) { return a.ticket > b.ticket; }
  static const Entry* front_of(Line& line, std::size_t& dropped);
  static void pop_front(Line& line);
  static void drop_idle_lines(Level& level);
  void sweep();

  std::map<int, Level, std::greater<>> levels_;
  std::size_t entry_count_{};
  std::size_t sweep_at_{64};
};

}  // namespace ipf
