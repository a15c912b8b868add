#include "scheduler/finished_tasks.hpp"

#include <algorithm>

namespace ipf {

namespace {
constexpr std::size_t index_size_min = 1024;
}  // namespace

std::uint64_t FinishedTasks::pack(TaskOutcome outcome) {
  return (outcome.engine & ~std::uint64_t{1}) | (outcome.succeeded ? 1U : 0U);
}

std::size_t FinishedTasks::place_of(TaskKey task) const {
  const std::size_t mask = index_.size() - 1;
  std::size_t at = task & mask;
  while (index_[at] != empty && ring_[index_[at] - 1].task != task) {
    at = (at + 1) & mask;
  }
  return at;
}

std::optional<TaskOutcome> FinishedTasks::find(TaskKey task) const {
  if (index_.empty()) {
    return std::nullopt;
  }
  const std::uint32_t found = index_[place_of(task)];
  if (found == empty) {
    return std::nullopt;
  }
  const std::uint64_t packed = ring_[found - 1].engine_and_outcome;
  return TaskOutcome{.succeeded = (packed & 1U) != 0, .engine = packed & ~std::uint64_t{1}};
}

void FinishedTasks::add(TaskKey task, TaskOutcome outcome) {
  add({.task = task, .engine_and_outcome = pack(outcome)});
}

std::vector<RememberedOutcome> FinishedTasks::all() const {
  const auto oldest = ring_.begin() + static_cast<std::ptrdiff_t>(oldest_);
  std::vector<RememberedOutcome> out(oldest, ring_.end());
  out.insert(out.end(), ring_.begin(), oldest);
  return out;
}

void FinishedTasks::add(const RememberedOutcome& outcome) {
  if (limit_ == 0) {
    return;
  }
  if (index_.size() < 2 * (ring_.size() + 1)) {
    grow();
  }
  const std::size_t at = place_of(outcome.task);
  if (index_[at] != empty) {
    ring_[index_[at] - 1] = outcome;
    return;
  }
  if (ring_.size() < limit_) {
    ring_.push_back(outcome);
    index_[at] = static_cast<std::uint32_t>(ring_.size());
    return;
  }
  forget(ring_[oldest_].task);
  ring_[oldest_] = outcome;
  index_[place_of(outcome.task)] = static_cast<std::uint32_t>(oldest_ + 1);
  oldest_ = (oldest_ + 1) % limit_;
}

/// Linear probing needs no marks for deleted entries if those behind the gap move up.
void FinishedTasks::forget(TaskKey task) {
  const std::size_t mask = index_.size() - 1;
  std::size_t gap = place_of(task);
  for (std::size_t at = (gap + 1) & mask; index_[at] != empty; at = (at + 1) & mask) {
    const std::size_t home = ring_[index_[at] - 1].task & mask;
    if (((at - home) & mask) >= ((at - gap) & mask)) {
      index_[gap] = index_[at];
      gap = at;
    }
  }
  index_[gap] = empty;
}

void FinishedTasks::grow() {
  index_.assign(std::max(index_size_min, 2 * index_.size()), empty);
  for (std::size_t i = 0; i < ring_.size(); ++i) {
    index_[place_of(ring_[i].task)] = static_cast<std::uint32_t>(i + 1);
  }
}

}  // namespace ipf
