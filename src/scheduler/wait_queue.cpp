#include "scheduler/wait_queue.hpp"

#include <algorithm>
#include <iterator>

#include "core/check.hpp"

namespace ipf {

namespace {
constexpr std::size_t sweep_at_least = 64;
/// A few empty levels are cheaper to skip than to make again.
constexpr std::size_t empty_levels_max = 4;
constexpr std::size_t idle_lines_max = 16;
}  // namespace

void WaitQueue::push(Waiter& task) {
  if (entry_count_ >= sweep_at_) {
    sweep();
  }
  Level& level = levels_[task.priority];
  Line& line = level.lines[task.client];
  const Entry entry{&task, task.wait_stamp, task.ticket};
  if (line.in_order.empty() || line.in_order.back().ticket < entry.ticket) {
    line.in_order.push_back(entry);
  } else {
    line.early.push_back(entry);
    std::push_heap(line.early.begin(), line.early.end(), later);
  }
  ++entry_count_;
  if (!line.in_turn) {
    line.in_turn = true;
    level.turns.push_back(&line);
  }
}

Waiter* WaitQueue::front() {
  for (auto at = levels_.begin(); at != levels_.end();) {
    auto& turns = at->second.turns;
    while (!turns.empty()) {
      std::size_t dropped = 0;
      const Entry* entry = front_of(*turns.front(), dropped);
      entry_count_ -= dropped;
      if (entry != nullptr) {
        return entry->task;
      }
      turns.front()->in_turn = false;
      turns.pop_front();
      drop_idle_lines(at->second);
    }
    at = levels_.size() > empty_levels_max ? levels_.erase(at) : std::next(at);
  }
  return nullptr;
}

void WaitQueue::pop() {
  for (auto& [priority, level] : levels_) {
    if (level.turns.empty()) {
      continue;
    }
    Line* line = level.turns.front();
    pop_front(*line);
    --entry_count_;
    level.turns.pop_front();
    if (line->in_order.empty() && line->early.empty()) {
      line->in_turn = false;
      drop_idle_lines(level);
    } else {
      level.turns.push_back(line);
    }
    return;
  }
  IPF_CHECK(false && "pop() of an empty queue");
}

/// The valid entry with the smallest ticket, void ones before it dropped; nullptr if none is left.
const WaitQueue::Entry* WaitQueue::front_of(Line& line, std::size_t& dropped) {
  while (!line.in_order.empty() && !line.in_order.front().valid()) {
    line.in_order.pop_front();
    ++dropped;
  }
  while (!line.early.empty() && !line.early.front().valid()) {
    std::pop_heap(line.early.begin(), line.early.end(), later);
    line.early.pop_back();
    ++dropped;
  }
  if (line.early.empty()) {
    return line.in_order.empty() ? nullptr : &line.in_order.front();
  }
  const bool early_first =
      line.in_order.empty() || later(line.in_order.front(), line.early.front());
  return early_first ? &line.early.front() : &line.in_order.front();
}

void WaitQueue::pop_front(Line& line) {
  const bool early_first =
      !line.early.empty() &&
      (line.in_order.empty() || later(line.in_order.front(), line.early.front()));
  if (early_first) {
    std::pop_heap(line.early.begin(), line.early.end(), later);
    line.early.pop_back();
  } else {
    line.in_order.pop_front();
  }
}

/// Clients come and go; those that wait for nothing are forgotten when they are the majority.
void WaitQueue::drop_idle_lines(Level& level) {
  if (level.lines.size() > idle_lines_max + 2 * level.turns.size()) {
    std::erase_if(level.lines, [](const auto& named) { return !named.second.in_turn; });
  }
}

void WaitQueue::sweep() {
  const auto is_void = [](const Entry& entry) { return !entry.valid(); };
  entry_count_ = 0;
  for (auto at = levels_.begin(); at != levels_.end();) {
    Level& level = at->second;
    std::erase_if(level.turns, [&](Line* line) {
      std::erase_if(line->in_order, is_void);
      std::erase_if(line->early, is_void);
      std::make_heap(line->early.begin(), line->early.end(), later);
      entry_count_ += line->in_order.size() + line->early.size();
      line->in_turn = !line->in_order.empty() || !line->early.empty();
      return !line->in_turn;
    });
    std::erase_if(level.lines, [](const auto& named) { return !named.second.in_turn; });
    at = level.lines.empty() ? levels_.erase(at) : std::next(at);
  }
  sweep_at_ = std::max(sweep_at_least, 2 * entry_count_);
}

}  // namespace ipf
