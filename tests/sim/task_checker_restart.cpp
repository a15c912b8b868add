// TaskChecker: what a new scheduler must know of what an earlier one did.
#include <algorithm>
#include <functional>

#include "core/rng.hpp"
#include "scheduler/task_key.hpp"
#include "sim/task_checker.hpp"
#include "sim/trace.hpp"

namespace ipf::sim {

namespace {

constexpr std::uint32_t engine_limit = 100'000;

/// As the machine makes them.
EngineKey key_of_engine(std::uint32_t engine, std::uint64_t seed) {
  return key_of(engine_name(engine), Rng(seed).next()) & ~EngineKey{1};
}

}  // namespace

void TaskChecker::restart(bool journal, const std::unordered_set<std::uint32_t>& unwritten) {
  unwritten_ = unwritten;
  must_come_back_.clear();
  for (std::uint32_t task = 0; task < views_.size(); ++task) {
    View& seen = views_[task];
    const bool open = seen.phase == Phase::waiting || seen.phase == Phase::running ||
                      seen.phase == Phase::orphaned;
    const bool ended = seen.phase == Phase::ended && seen.era == era_;
    if (journal && (open || ended) && !unwritten.contains(task)) {
      must_come_back_.push_back(task);
    }
    if (open && !journal) {
      seen.phase = Phase::lost;
    }
    seen.ghost = false;
    seen.in_plain = false;
  }
  engines_.clear();
  rooms_.clear();
  plain_waiting_.clear();
  turns_.clear();
  open_ = 0;
  joined_ = 0;
  ghosts_.clear();
  orphans_.clear();
  ++era_;
}

/// The scheduler's own answers name no engine.
void TaskChecker::on(TimePoint /*now*/, const OutcomeRestored& event) {
  const auto task = task_number(event.msg_id);
  View& seen = view(task);
  if (seen.phase != Phase::ended) {
    fail(task, "answered, says the journal, but it is not");
  }
  if (engine_number(event.engine_uuid) != seen.end_engine) {
    fail(task, "ended on another engine, says the journal, or on none");
  }
  seen.era = era_;
}

void TaskChecker::on(TimePoint /*now*/, const OutcomesRestored& event) {
  std::unordered_map<TaskKey, std::uint64_t> outcomes;
  for (const auto& outcome : event.outcomes) {
    outcomes.emplace(outcome.task, outcome.engine_and_outcome);
  }
  const auto seed = Rng(scheduler_.seed).next();
  for (std::uint32_t task = 0; task < views_.size(); ++task) {
    const auto found = outcomes.find(key_of(task_name(task), seed));
    if (found == outcomes.end()) {
      continue;
    }
    View& seen = views_[task];
    const bool with_engine = seen.end_engine != none && seen.succeeded;
    if (seen.phase != Phase::ended || ((found->second & 1U) != 0) != seen.succeeded ||
        (with_engine &&
         (found->second & ~std::uint64_t{1}) != key_of_engine(seen.end_engine, scheduler_.seed))) {
      fail(task, "the journal remembers another end of it");
    }
    seen.era = era_;
  }
}

void TaskChecker::on(TimePoint now, const TasksRestored& event) {
  restoring_ = true;
  std::vector<const TaskRestored*> in_order;
  for (const auto& task : event.tasks) {
    in_order.push_back(&task);
    check_old_place(task_number(task.task.msg_id), task.engine_uuid);
  }
  std::ranges::stable_sort(in_order, std::greater{}, &TaskRestored::handed_over);
  std::unordered_map<std::string, std::uint32_t> on_engine;
  for (const auto* task : in_order) {
    const bool fits =
        !limited() || task->engine_uuid.empty() || ++on_engine[task->engine_uuid] <= options_.hwm;
    restore(now, *task, fits);
  }
  for (const auto task : must_come_back_) {
    if (views_[task].era != era_) {
      fail(task, "the journal does not know it any more");
    }
  }
  for (std::uint32_t task = 0; task < views_.size(); ++task) {
    View& seen = views_[task];
    const bool open = seen.phase == Phase::waiting || seen.phase == Phase::running ||
                      seen.phase == Phase::orphaned;
    if (open && seen.era != era_) {  // its submission was not written; nobody has heard of it
      seen.phase = Phase::lost;
      --seen.submissions;
      extras_.erase(task);
    }
  }
  must_come_back_.clear();
}

/// All records of the task are written, so the journal knows as much as the checker.
void TaskChecker::check_old_place(std::uint32_t task, const std::string& journaled) const {
  if (task >= views_.size()) {
    fail(task, "restored, but nobody submitted it");
  }
  if (unwritten_.contains(task)) {
    return;
  }
  const View& seen = views_[task];
  if (seen.phase == Phase::ended) {
    fail(task, "restored, but it is answered");
  }
  const bool somewhere = seen.phase == Phase::running || seen.phase == Phase::orphaned;
  if (engine_number(journaled) != (somewhere ? seen.engine : none)) {
    fail(task, "is at another engine than the journal says, or at none");
  }
}

void TaskChecker::restore(TimePoint now, const TaskRestored& event, bool fits) {
  const auto task = task_number(event.task.msg_id);
  View& seen = views_[task];
  // Its answer, if there was one, was not written and so not sent.
  const std::uint32_t answers = seen.answers - (seen.phase == Phase::ended ? 1U : 0U);
  seen = View{.phase = Phase::waiting,
              .era = era_,
              .submissions = seen.submissions,
              .answers = answers,
              .since = now};
  extras_.erase(task);
  ++open_;
  if (event.progress) {
    take_progress(task, *event.progress);
  }
  const auto engine = engine_number(event.engine_uuid);
  if (engine == none) {
    return;
  }
  seen.sent_before = true;
  if (engine_view(engine).joined && fits) {
    old_places_[task] = engine;
    return;
  }
  seen.engine = engine;
  seen.died = true;
  lose(task);
}

void TaskChecker::take_progress(std::uint32_t task, const TaskProgress& progress) {
  if (options_.scheme == SchemeName::pure) {
    return;
  }
  View& seen = views_[task];
  seen.charges = static_cast<std::uint8_t>(book_.wish(task).retries - progress.retries_left);
  seen.deaths = static_cast<std::uint8_t>(progress.killed.size());
  Extra& more = extras_[task];
  for (std::uint32_t engine = 0;
       more.excluded.size() < progress.excluded.size() || more.stale.size() < progress.stale.size();
       ++engine) {
    const auto key = key_of_engine(engine, scheduler_.seed);
    const auto times = std::ranges::count(progress.excluded, key);
    more.excluded.insert(more.excluded.end(), static_cast<std::size_t>(times), engine);
    if (std::ranges::find(progress.stale, key) != progress.stale.end()) {
      more.stale.push_back(engine);
    }
    if (engine > engine_limit) {
      fail(task, "the journal excludes an engine that nobody knows");
    }
  }
}

// ---- turns --------------------------------------------------------------------------------------

/// Of those who wait, nobody has two turns while another client has none.
void TaskChecker::check_turn(std::uint32_t task) {
  const View& seen = view(task);
  if (restoring_ || !seen.noted) {
    return;  // placed at once
  }
  auto& turns = turns_[book_.wish(task).priority];
  Turn& mine = turns[book_.plan(task).client];
  for (const auto& [client, other] : turns) {
    const bool waited = seen.in_plain && other.waiting > 0 && &other != &mine && mine.turn > 0 &&
                        other.waits_since < mine.turn;
    if (waited && other.served < mine.turn) {
      fail(task, "sent though client " + std::to_string(client) +
                     " has waited for its turn since before the last one of this client");
    }
  }
  mine.served = ++served_;
  mine.turn = seen.in_plain ? served_ : mine.turn;
}

}  // namespace ipf::sim
