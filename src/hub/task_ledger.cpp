#include "hub/task_ledger.hpp"

#include <functional>
#include <utility>

#include "core/check.hpp"

namespace ipf {

namespace {
constexpr EngineId unknown_engine{-1};

std::uint64_t hash_of(const std::string& msg_id) {
  return std::hash<std::string>{}(msg_id);
}
}  // namespace

void TaskLedger::append(TaskList& list, Node& node) {
  node.list = &list;
  node.previous = list.last;
  node.next = nullptr;
  (list.last == nullptr ? list.first : list.last->next) = &node;
  list.last = &node;
  ++list.size;
}

void TaskLedger::unlink(Node& node) {
  TaskList& list = *node.list;
  (node.previous == nullptr ? list.first : node.previous->next) = node.next;
  (node.next == nullptr ? list.last : node.next->previous) = node.previous;
  --list.size;
  node.list = nullptr;
}

void TaskLedger::move_all(TaskList& from, TaskList& to) {
  while (from.first != nullptr) {
    Node& node = *from.first;
    unlink(node);
    append(to, node);
  }
}

std::vector<std::string> TaskLedger::names(const TaskList& list) {
  std::vector<std::string> out;
  out.reserve(list.size);
  for (const Node* node = list.first; node != nullptr; node = node->next) {
    out.push_back(*node->msg_id);
  }
  return out;
}

void TaskLedger::place(Node& node, const std::string& engine_uuid, TimePoint strand_at) {
  if (engine_uuid.empty()) {
    append(node.queue == TaskQueue::task ? unassigned_ : elsewhere_, node);
    return;
  }
  const auto engine = engines_.find(engine_uuid);
  if (engine != engines_.end()) {
    append(node.queue == TaskQueue::task ? engine->second.tasks : engine->second.direct, node);
  } else if (node.queue == TaskQueue::task) {
    append(unassigned_, node);
  } else {
    if (gone_.empty() || gone_.back().uuid != engine_uuid || gone_.back().deadline != strand_at) {
      gone_.push_back({.uuid = engine_uuid, .id = unknown_engine, .deadline = strand_at});
    }
    append(gone_.back().direct, node);
  }
}

bool TaskLedger::add(std::string msg_id,
                     TaskQueue queue,
                     const std::string& engine_uuid,
                     TimePoint strand_at) {
  if (pending_.size() >= options_.pending_max) {
    ++rejected_;
    return false;
  }
  const auto [slot, is_new] = pending_.try_emplace(std::move(msg_id));
  if (!is_new) {
    return false;
  }
  slot->second.msg_id = &slot->first;
  slot->second.queue = queue;
  place(slot->second, engine_uuid, strand_at);
  return true;
}

void TaskLedger::assign(const std::string& msg_id, const std::string& engine_uuid) {
  const auto found = pending_.find(msg_id);
  if (found == pending_.end() || found->second.queue != TaskQueue::task) {
    return;
  }
  unlink(found->second);
  place(found->second, engine_uuid, {});
}

void TaskLedger::remember_completed(const std::string& msg_id) {
  const std::uint64_t hash = hash_of(msg_id);
  if (options_.completed_max == 0 || !completed_.insert(hash).second) {
    return;
  }
  completed_order_.push_back(hash);
  if (completed_order_.size() > options_.completed_max) {
    completed_.erase(completed_order_.front());
    completed_order_.pop_front();
  }
}

bool TaskLedger::finish(std::string msg_id, const std::string& engine_uuid) {
  remember_completed(msg_id);
  const auto found = pending_.find(msg_id);
  if (found == pending_.end()) {
    return false;
  }
  unlink(found->second);
  pending_.erase(found);
  const auto engine = engines_.find(engine_uuid);
  if (engine != engines_.end()) {
    ++engine->second.completed_count;
    auto& kept = engine->second.completed;
    kept.push_back(std::move(msg_id));
    if (kept.size() > options_.completed_per_engine_max) {
      kept.pop_front();
    }
  }
  return true;
}

void TaskLedger::add_engine(const std::string& uuid) {
  engines_.try_emplace(uuid);
}

void TaskLedger::remove_engine(const std::string& uuid, EngineId id, TimePoint strand_at) {
  const auto engine = engines_.find(uuid);
  if (engine == engines_.end()) {
    return;
  }
  move_all(engine->second.tasks, unassigned_);
  if (engine->second.direct.size > 0) {
    gone_.push_back({.uuid = uuid, .id = id, .deadline = strand_at});
    move_all(engine->second.direct, gone_.back().direct);
  }
  engines_.erase(engine);
}

std::vector<TaskLedger::Stranded> TaskLedger::take_stranded(TimePoint now) {
  std::vector<Stranded> out;
  while (!gone_.empty() && gone_.front().deadline <= now) {
    const Gone& gone = gone_.front();
    while (gone.direct.first != nullptr) {
      out.push_back(
          {.msg_id = *gone.direct.first->msg_id, .engine_uuid = gone.uuid, .engine_id = gone.id});
      finish(out.back().msg_id, {});
    }
    gone_.pop_front();
  }
  return out;
}

bool TaskLedger::is_completed(const std::string& msg_id) const {
  return completed_.contains(hash_of(msg_id));
}

TaskLedger::EngineCounts TaskLedger::counts(const std::string& engine_uuid) const {
  const auto engine = engines_.find(engine_uuid);
  if (engine == engines_.end()) {
    return {};
  }
  return {.direct = engine->second.direct.size,
          .tasks = engine->second.tasks.size,
          .completed = engine->second.completed_count};
}

TaskLedger::EngineQueues TaskLedger::queues(const std::string& engine_uuid) const {
  const auto engine = engines_.find(engine_uuid);
  if (engine == engines_.end()) {
    return {};
  }
  const auto& completed = engine->second.completed;
  return {.direct = names(engine->second.direct),
          .tasks = names(engine->second.tasks),
          .completed = {completed.begin(), completed.end()}};
}

TimePoint TaskLedger::next_deadline() const {
  return gone_.empty() ? TimePoint::never() : gone_.front().deadline;
}

void TaskLedger::check_list(const TaskList& list, std::size_t& total) const {
  std::size_t size = 0;
  const Node* previous = nullptr;
  for (const Node* node = list.first; node != nullptr; node = node->next) {
    IPF_CHECK(node->list == &list && node->previous == previous);
    const auto found = pending_.find(*node->msg_id);
    IPF_CHECK(found != pending_.end() && &found->second == node);
    previous = node;
    ++size;
  }
  IPF_CHECK(list.last == previous && list.size == size);
  total += size;
}

void TaskLedger::check_invariants() const {
  std::size_t total = 0;
  check_list(unassigned_, total);
  check_list(elsewhere_, total);
  for (const auto& [uuid, engine] : engines_) {
    check_list(engine.direct, total);
    check_list(engine.tasks, total);
    IPF_CHECK(engine.completed.size() <= options_.completed_per_engine_max);
    IPF_CHECK(engine.completed.size() <= engine.completed_count);
  }
  TimePoint deadline{};
  for (const auto& gone : gone_) {
    check_list(gone.direct, total);
    IPF_CHECK(gone.deadline >= deadline);
    deadline = gone.deadline;
  }
  IPF_CHECK(total == pending_.size());
  IPF_CHECK(pending_.size() <= options_.pending_max);
  IPF_CHECK(completed_.size() == completed_order_.size());
  IPF_CHECK(completed_.size() <= options_.completed_max);
}

}  // namespace ipf
