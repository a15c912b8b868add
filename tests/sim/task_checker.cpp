#include "sim/task_checker.hpp"

#include <algorithm>
#include <csignal>
#include <variant>

#include "sim/trace.hpp"

namespace ipf::sim {

// ---- tables -------------------------------------------------------------------------------------

TaskChecker::View& TaskChecker::view(std::uint32_t task) {
  if (task >= views_.size()) {
    views_.resize(std::max<std::size_t>(task + 1, book_.size()));
  }
  return views_[task];
}

TaskChecker::EngineView& TaskChecker::engine_view(std::uint32_t engine) {
  if (engine >= engines_.size()) {
    engines_.resize(engine + 1);
  }
  return engines_[engine];
}

template <class Change>
void TaskChecker::change(std::uint32_t engine, Change how) {
  EngineView& view = engine_view(engine);
  if (has_room(view)) {
    const auto bucket = rooms_.find(view.load());
    if (--bucket->second == 0) {
      rooms_.erase(bucket);
    }
  }
  how(view);
  if (has_room(view)) {
    ++rooms_[view.load()];
  }
  touched_.push_back(engine);
}

const TaskChecker::Extra* TaskChecker::extra(std::uint32_t task) const {
  const auto found = extras_.find(task);
  return found == extras_.end() ? nullptr : &found->second;
}

void TaskChecker::fail(std::uint32_t task, const std::string& why) const {
  throw SimFailure("task " + std::to_string(task) + ": " + why + " [" + book_.wish_text(task) +
                   " ]");
}

void TaskChecker::leave_engine(std::uint32_t task) {
  change(view(task).engine, [&](EngineView& engine) { std::erase(engine.tasks, task); });
}

void TaskChecker::end_ghost(std::uint32_t task) {
  leave_engine(task);
  views_[task].ghost = false;
  std::erase(ghosts_, task);
}

void TaskChecker::set_plain(std::uint32_t task, bool waiting) {
  View& seen = view(task);
  if (seen.in_plain == waiting) {
    return;
  }
  seen.in_plain = waiting;
  const int priority = book_.wish(task).priority;
  Turn& turn = turns_[priority][book_.plan(task).client];
  if (waiting) {
    turn.waits_since = turn.waiting == 0 ? served_ : turn.waits_since;
    ++turn.waiting;
  } else {
    --turn.waiting;
  }
  if (waiting) {
    ++plain_waiting_[priority];
  } else if (--plain_waiting_[priority] == 0) {
    plain_waiting_.erase(priority);
  }
}

void TaskChecker::answer(std::uint32_t task, bool succeeded, std::uint32_t engine) {
  View& seen = view(task);
  set_plain(task, false);
  seen.phase = Phase::ended;
  seen.succeeded = succeeded;
  seen.end_engine = engine;
  ++seen.answers;
  --open_;
}

// ---- events -------------------------------------------------------------------------------------

void TaskChecker::begin(TimePoint now, const TaskEvent& event) {
  now_ = now;
  touched_.clear();
  must_answer_.clear();
  reply_from_ = none;
  replied_ = none;
  send_again_ = none;
  submitted_ = none;
  twice_ = none;
  restoring_ = false;
  old_places_.clear();
  std::visit([&](const auto& concrete) { on(now, concrete); }, event);
}

void TaskChecker::on(TimePoint now, const TaskSubmitted& event) {
  const auto task = task_number(event.msg_id);
  View& seen = view(task);
  submitted_ = task;
  if (seen.ghost) {  // its engine is still busy with the first one
    ++seen.submissions;
    twice_ = task;
    must_answer_.push_back(task);
    return;
  }
  if (seen.phase != Phase::unseen && seen.era == era_) {
    return;  // the same request again: nothing may come of it
  }
  seen = View{.phase = Phase::waiting,
              .era = era_,
              .submissions = seen.submissions + 1,
              .answers = seen.answers,
              .since = now};
  ++open_;
  if (options_.scheme != SchemeName::pure) {
    const Wish& wish = book_.wish(task);
    seen.invalid = names_unknown(task, wish.after) || names_unknown(task, wish.follow);
    if (seen.invalid) {
      must_answer_.push_back(task);
    }
  }
}

void TaskChecker::on(TimePoint now, const TaskReplied& event) {
  const auto task = task_number(event.msg_id);
  const auto engine = engine_number(event.engine_uuid);
  if (task >= views_.size()) {
    return;
  }
  View& seen = views_[task];
  if (seen.ghost && seen.engine == engine) {
    end_ghost(task);
    return;
  }
  const bool here =
      (seen.phase == Phase::running || seen.phase == Phase::orphaned) && seen.engine == engine;
  const auto found = extras_.find(task);
  const bool of_stale_copy = found != extras_.end() && (!here || event.aborted) &&
                             std::erase(found->second.stale, engine) > 0;
  if (!here || of_stale_copy) {
    if (here && seen.phase == Phase::running) {
      send_again_ = task;  // the engine may have taken the second copy for a replay of the first
    }
    return;
  }
  if (seen.signals == 1 && event.succeeded) {
    must_answer_.push_back(task);  // a TaskTimeout; the slot stays taken until the signal is over
    seen.ghost_until = now + scheduler_.interrupt_settle;
    return;
  }
  if (seen.phase == Phase::running) {
    leave_engine(task);
  }
  if (seen.signals > 0) {
    must_answer_.push_back(task);
    seen.phase = Phase::waiting;
    return;
  }
  replied_ = task;
  reply_from_ = engine;
  reply_succeeded_ = event.succeeded;
  seen.phase = Phase::waiting;
  if (!event.dependencies_met) {
    extras_[task].excluded.push_back(engine);
  } else if (!event.succeeded && seen.charges < book_.wish(task).retries &&
             options_.scheme != SchemeName::pure) {
    ++seen.charges;
    extras_[task].excluded.push_back(engine);
    extras_[task].last_failure = engine;
  } else {
    must_answer_.push_back(task);
  }
}

void TaskChecker::on(TimePoint /*now*/, const TaskStarted& event) {
  const auto task = task_number(event.msg_id);
  if (task < views_.size() && views_[task].phase == Phase::running &&
      views_[task].engine == engine_number(event.engine_uuid)) {
    views_[task].started = true;
  }
}

void TaskChecker::on(TimePoint /*now*/, const EngineJoined& event) {
  const auto number = engine_number(event.uuid);
  if (engine_view(number).joined) {
    return;
  }
  change(number, [&](EngineView& engine) {
    engine.joined = true;
    engine.capacity = event.resources;
  });
  ++joined_;
}

void TaskChecker::on(TimePoint now, const EngineLeft& event) {
  const auto number = engine_number(event.uuid);
  if (!engine_view(number).joined) {
    return;
  }
  bool first = true;
  for (const auto task : engines_[number].tasks) {
    View& seen = views_[task];
    if (seen.ghost) {
      seen.ghost = false;
      std::erase(ghosts_, task);
    } else {
      // Tasks run one after the other: what it was not seen to start, a frozen engine did not
      // start.
      const bool untouched = !seen.started && !seen.sent_before &&
                             (event.silent || (engines_[number].killed && !first));
      seen.phase = Phase::orphaned;
      seen.since = now;
      seen.died = !untouched;
      seen.blamed = first || seen.started;
      if (seen.signals > 0) {
        must_answer_.push_back(task);
      } else if (untouched) {
        seen.phase = Phase::waiting;
      } else {
        orphans_.push_back(task);
      }
    }
    first = false;
  }
  change(number, [](EngineView& engine) { engine = EngineView{}; });
  --joined_;
}

void TaskChecker::on(TimePoint /*now*/, const EngineSuspected& event) {
  const auto number = engine_number(event.uuid);
  if (engine_view(number).joined) {
    change(number, [](EngineView& engine) { engine.suspected = true; });
  }
}

void TaskChecker::on(TimePoint /*now*/, const EngineTrusted& event) {
  const auto number = engine_number(event.uuid);
  if (engine_view(number).joined) {
    change(number, [](EngineView& engine) { engine.suspected = false; });
  }
}

void TaskChecker::on(TimePoint /*now*/, const TaskUndeliverable& event) {
  const auto task = task_number(event.msg_id);
  if (task >= views_.size() || views_[task].phase != Phase::running) {
    return;
  }
  leave_engine(task);
  extras_[task].excluded.push_back(views_[task].engine);
  views_[task].phase = Phase::waiting;
}

void TaskChecker::on(TimePoint now, const TaskTimePassed& /*event*/) {
  const auto due = [&](std::uint32_t task) {
    return views_[task].since + scheduler_.lost_engine_grace <= now;
  };
  for (const auto task : orphans_) {
    if (views_[task].phase == Phase::orphaned && due(task)) {
      lose(task);
    }
  }
  std::erase_if(orphans_, [&](auto task) { return views_[task].phase != Phase::orphaned; });
  for (const auto task : std::vector<std::uint32_t>(ghosts_)) {
    if (views_[task].ghost_until <= now) {
      end_ghost(task);
    }
  }
}

/// No reply came in the time of grace: it goes to another engine for a retry, or ends.
void TaskChecker::lose(std::uint32_t task) {
  View& seen = views_[task];
  seen.phase = Phase::waiting;
  seen.deaths = static_cast<std::uint8_t>(seen.deaths + (seen.blamed ? 1 : 0));
  const bool poison =
      seen.blamed && scheduler_.poison_limit > 0 && seen.deaths >= scheduler_.poison_limit;
  if (poison || seen.charges >= book_.wish(task).retries || options_.scheme == SchemeName::pure) {
    seen.out_of_retries = true;
    must_answer_.push_back(task);
    return;
  }
  ++seen.charges;
  extras_[task].excluded.push_back(seen.engine);
}

// ---- actions ------------------------------------------------------------------------------------

void TaskChecker::see(const TaskAction& action) {
  std::visit([&](const auto& concrete) { on(concrete); }, action);
}

void TaskChecker::on(const SendTask& action) {
  const auto task = task_number(action.msg_id);
  const auto engine = engine_number(action.engine_uuid);
  if (task >= views_.size() || engine == none) {
    fail(task, "sent, but nobody submitted it");
  }
  View& seen = views_[task];
  if (task == send_again_ && engine == seen.engine && !action.first_sight && !action.restored) {
    send_again_ = none;
    return;
  }
  if (seen.phase != Phase::waiting || seen.out_of_retries) {
    fail(task, "sent to engine " + std::to_string(engine) +
                   " though it is ended, elsewhere or out of retries");
  }
  if (action.first_sight == seen.noted) {
    fail(task, "the hub is told the wrong thing: first_sight does not fit what it knows");
  }
  check_turn(task);
  set_plain(task, false);
  const auto old = old_places_.find(task);
  if (action.restored != (old != old_places_.end())) {
    fail(task, "sent as a restored one though it is none, or the other way round");
  }
  if (!action.restored) {
    check_place(task, engine);
    check_priority(task);
  } else if (old->second != engine) {
    fail(task, "restored, but not at the engine that has it");
  }
  old_places_.erase(task);
  seen.sent_before = action.restored;
  change(engine, [&](EngineView& view) { view.tasks.push_back(task); });
  seen.phase = Phase::running;
  seen.engine = engine;
  seen.noted = true;
  seen.started = false;
  seen.died = false;
  seen.signals = 0;
  seen.sent = now_;
}

void TaskChecker::on(const ForwardReply& action) {
  const auto task = task_number(action.msg_id);
  const auto engine = engine_number(action.engine_uuid);
  if (task >= views_.size()) {
    fail(task, "answered, but nobody submitted it");
  }
  const View& seen = views_[task];
  if (seen.phase != Phase::waiting) {
    fail(task, "a reply is forwarded though it is ended or not back from its engine");
  }
  if (action.reply.buffer_count() != 1 || action.reply.buffer(0) != result_text(task, engine)) {
    fail(task, "the reply is that of another task or engine");
  }
  const bool final_reply =
      task == replied_ && engine == reply_from_ &&
      std::find(must_answer_.begin(), must_answer_.end(), task) != must_answer_.end();
  if (final_reply) {
    answer(task, reply_succeeded_, engine);
    return;
  }
  const Extra* more = extra(task);
  if (more == nullptr || more->last_failure != engine) {
    fail(task, "a reply is forwarded that is neither this one nor a kept failure");
  }
  if (any_engine_for(task)) {
    fail(task, "given up with retries left though an engine is there for it");
  }
  answer(task, false, engine);
}

void TaskChecker::on(const FailTask& action) {
  const auto task = task_number(action.msg_id);
  if (task >= views_.size()) {
    fail(task, "failed, but nobody submitted it");
  }
  View& seen = views_[task];
  if (task == twice_ && action.failure.ename == "ValueError") {
    ++seen.answers;
    twice_ = none;
    return;
  }
  if (seen.phase == Phase::ended || seen.phase == Phase::lost || seen.phase == Phase::unseen) {
    fail(task, "a second answer: " + action.failure.ename);
  }
  check_reason(task, action);
  const bool was_running = seen.phase == Phase::running;
  answer(task, false, none);
  if (was_running) {  // behind its run_timeout
    seen.ghost = true;
    ghosts_.push_back(task);
  }
}

void TaskChecker::on(const NoteSubmission& action) {
  const auto task = task_number(action.msg_id);
  View& seen = view(task);
  if (seen.phase != Phase::waiting || seen.noted) {
    fail(task, "its submission is noted twice, or it is none");
  }
  seen.noted = true;
  const Wish& wish = book_.wish(task);
  const bool plain = wish.after.tasks.empty() && !wish.restricted_from_start() &&
                     wish.resources.empty() && options_.scheme != SchemeName::pure;
  set_plain(task, plain && !extras_.contains(task));
}

void TaskChecker::on(const NoteReturn& action) {
  if (const auto task = task_number(action.msg_id); view(task).phase != Phase::waiting) {
    fail(task, "said to be back from its engine, but it is not");
  }
}

void TaskChecker::on(const InterruptTask& action) {
  const auto task = task_number(action.msg_id);
  View& seen = view(task);
  const Duration limit = book_.wish(task).run_timeout;
  if (seen.phase != Phase::running || engine_number(action.engine_uuid) != seen.engine) {
    fail(task, "a signal for an engine that does not run it");
  }
  if (limit.count() == 0 || now_ < seen.sent + limit) {
    fail(task, "a signal before its run_timeout");
  }
  seen.signals = action.signal == SIGKILL ? 2 : 1;
  engines_[seen.engine].killed = engines_[seen.engine].killed || action.signal == SIGKILL;
}

void TaskChecker::on(const AbortAtEngine& action) {
  extras_[task_number(action.msg_id)].stale.push_back(engine_number(action.engine_uuid));
}

void TaskChecker::on(const AnswerAgain& action) {
  const auto task = task_number(action.msg_id);
  if (task != submitted_ || view(task).phase != Phase::ended) {
    fail(task, "to be answered again, but it has no answer yet or nobody asked");
  }
}

// ---- after each event ---------------------------------------------------------------------------

void TaskChecker::end(const TaskMachine& machine) {
  for (const auto task : must_answer_) {
    if (views_[task].phase != Phase::ended || task == twice_) {
      fail(task, "no answer, though this event ends it");
    }
  }
  if (send_again_ != none) {
    fail(send_again_, "not sent again, though its engine left it out");
  }
  if (!old_places_.empty()) {
    fail(old_places_.begin()->first, "restored, but not sent to its engine, which is here");
  }
  for (const auto number : touched_) {
    const EngineView& engine = engines_[number];
    const auto load = machine.load_of(engine_name(number));
    if (load != engine.load()) {
      throw SimFailure("engine " + std::to_string(number) + ": the machine counts " +
                       std::to_string(load) + " tasks, but it has " +
                       std::to_string(engine.load()));
    }
  }
  if (machine.task_count() != open_ || machine.engine_count() != joined_) {
    throw SimFailure("the machine counts " + std::to_string(machine.task_count()) + " tasks and " +
                     std::to_string(machine.engine_count()) + " engines, but there are " +
                     std::to_string(open_) + " and " + std::to_string(joined_));
  }
}

TaskChecker::Ending TaskChecker::ending(std::uint32_t task) const {
  if (task >= views_.size()) {
    return {};
  }
  const View& seen = views_[task];
  return {.submissions = seen.submissions,
          .answers = seen.answers,
          .ended = seen.phase == Phase::ended,
          .lost = seen.phase == Phase::lost,
          .engine = seen.end_engine};
}

std::string TaskChecker::open_text() const {
  std::string out;
  for (std::uint32_t task = 0; task < views_.size() && out.size() < 400; ++task) {
    const View& seen = views_[task];
    if (seen.phase == Phase::waiting) {
      out += " " + std::to_string(task) + " waits";
    } else if (seen.phase == Phase::running) {
      out += " " + std::to_string(task) + " runs on " + std::to_string(seen.engine);
    } else if (seen.phase == Phase::orphaned) {
      out += " " + std::to_string(task) + " is orphaned";
    }
  }
  return out;
}

}  // namespace ipf::sim
