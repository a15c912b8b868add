// SimController: what the scheduler's thread writes and sends in one round, and what of it is left
// when it is killed in the middle.
#include <algorithm>
#include <utility>

#include "scheduler/journal_format.hpp"
#include "sim/sim_controller.hpp"
#include "sim/trace.hpp"

namespace ipf::sim {

namespace {

/// As long as the real journal keeps answers: in that time the client has them.
constexpr Duration settle_time = std::chrono::seconds{3};

JournalContents read_journal(const std::string& bytes) {
  if (bytes.empty()) {
    return {};
  }
  JournalCollector collector;
  if (const auto taken = collector.take_file(bytes); !taken) {
    throw SimFailure("the journal " + taken.error().message);
  }
  return std::move(collector).finish();
}

std::string journal_text(const JournalContents& contents) {
  std::string out;
  append_magic(out);
  append_outcomes(out, contents.outcomes);
  std::vector<const JournaledTask*> handed_over;
  for (const auto& task : contents.tasks) {
    append_submission(out, task.msg_id, *task.request);
    if (task.progress) {
      append_return(out, task.msg_id, *task.progress);
    }
    if (task.reply) {
      append_answer(out, task.msg_id, task.engine_uuid, *task.reply, task.made_here);
    } else if (!task.engine_uuid.empty()) {
      handed_over.push_back(&task);
    }
  }
  std::ranges::sort(handed_over, {}, &JournaledTask::handed_over);
  for (const auto* task : handed_over) {
    append_assignment(out, task->msg_id, task->engine_uuid);
  }
  return out;
}

}  // namespace

// ---- one round ----------------------------------------------------------------------------------

void SimController::journal_submission(std::uint32_t task,
                                       const std::string& msg_id,
                                       const Message& request) {
  if (world_.options.journal && journaled_.insert(task).second) {
    journal(task, [&] { append_submission(unwritten_, msg_id, request); });
  }
}

void SimController::journal_assignment(std::uint32_t task,
                                       const std::string& msg_id,
                                       const std::string& engine) {
  if (journaled_.contains(task)) {
    journal(task, [&] { append_assignment(unwritten_, msg_id, engine); });
  }
}

void SimController::journal(std::uint32_t task, const std::function<void()>& append) {
  const std::size_t before = unwritten_.size();
  append();
  if (mutation_.forgets(unwritten_[before + sizeof(std::uint32_t)])) {
    unwritten_.resize(before);
    return;
  }
  unwritten_tasks_.insert(task);
}

void SimController::journal_answer(std::uint32_t task,
                                   const std::string& engine_uuid,
                                   const Message& reply,
                                   const std::string& msg_id,
                                   bool made_here) {
  if (journaled_.erase(task) > 0) {
    settled_[task] = world_.now() + settle_time;
    journal(task, [&] { append_answer(unwritten_, msg_id, engine_uuid, reply, made_here); });
  }
}

void SimController::deliver(const Outgoing& message) {
  switch (message.to) {
    case Outgoing::To::signal:
      links_.engine(message.engine)->send_signal(message.signal);
      break;
    case Outgoing::To::abort:
      links_.engine(message.engine)->send_abort(message.task);
      break;
    case Outgoing::To::engine:
      send_to_engine(message.engine, message.task, message.again);
      break;
    case Outgoing::To::client:
      links_.answer(message.task);
      break;
  }
}

void SimController::flush_round() {
  disk_ += unwritten_;
  unwritten_.clear();
  unwritten_tasks_.clear();
  if (world_.options.journal && world_.faults.below(50) == 0) {
    begin_journal_anew();
  }
  if (!to_hub_.empty()) {
    std::ranges::move(to_hub_, std::back_inserter(inbox_));
    to_hub_.clear();
    wake_at(world_.now() + world_.options.mailbox_delay, inbox);
  }
  std::ranges::stable_sort(outgoing_, {}, &Outgoing::to);
  for (const auto& message : outgoing_) {
    deliver(message);
  }
  outgoing_.clear();
}

/// kill -9 at any step of a round: what was not written is lost, and nothing of it was sent; or all
/// was written, and some of it was sent.
void SimController::lose_round() {
  const auto stage = world_.faults.below(4);
  if (mutation_.sends_first()) {
    std::ranges::for_each(outgoing_, [this](const auto& message) { deliver(message); });
  } else if (stage == 1) {
    disk_ += unwritten_.substr(0, world_.faults.below(unwritten_.size() + 1));
  } else if (stage >= 2) {
    disk_ += unwritten_;
    unwritten_tasks_.clear();
  }
  if (stage == 3) {
    std::ranges::stable_sort(outgoing_, {}, &Outgoing::to);
    const auto count = world_.faults.below(outgoing_.size() + 1);
    for (std::size_t i = 0; i < count; ++i) {
      deliver(outgoing_[i]);
    }
  }
  unwritten_.clear();
  outgoing_.clear();
  to_hub_.clear();
}

/// Open tasks stay, and answers that a client may not have yet; of all others, how they ended.
void SimController::begin_journal_anew() {
  auto contents = read_journal(disk_);
  contents.outcomes = tasks_->remembered();
  std::erase_if(contents.tasks, [&](const JournaledTask& task) {
    return task.reply && settled_[task_number(task.msg_id)] <= world_.now();
  });
  disk_ = journal_text(contents);
}

// ---- the next controller ------------------------------------------------------------------------

void SimController::take_up_journal() {
  auto known = read_journal(disk_);
  disk_ = journal_text(known);
  journaled_.clear();
  recent_.clear();
  take_commands();  // the engines that the hub restored
  task_step(OutcomesRestored{.outcomes = std::move(known.outcomes)});
  TasksRestored unfinished;
  for (auto& task : known.tasks) {
    const auto number = task_number(task.msg_id);
    const auto client = world_.book.plan(number).client;
    if (!task.reply) {
      journaled_.insert(number);
      unfinished.tasks.push_back({.task = {.msg_id = std::move(task.msg_id),
                                           .options = world_.book.options_of(number),
                                           .request = request_message(number, client, {}),
                                           .client = client},
                                  .engine_uuid = std::move(task.engine_uuid),
                                  .handed_over = task.handed_over,
                                  .progress = std::move(task.progress)});
      continue;
    }
    recent_.insert(number);
    task_step(OutcomeRestored{.msg_id = task.msg_id,
                              .engine_uuid = task.made_here ? std::string{} : task.engine_uuid,
                              .succeeded = task_checker_.ended_well(number)});
    tell_hub(RequestSeen{.queue = TaskQueue::task,
                         .msg_id = task.msg_id,
                         .engine_uuid = task.engine_uuid,
                         .request = request_message(number, client, world_.wall())});
    tell_hub(
        ReplySeen{.queue = TaskQueue::task,
                  .msg_id = std::move(task.msg_id),
                  .engine_uuid = std::move(task.engine_uuid),
                  .reply = reply_message(number, client, task_checker_.ending(number).engine)});
  }
  task_step(std::move(unfinished));
  flush_round();
}

void SimController::perform(NoteReturn& action) {
  const auto task = task_number(action.msg_id);
  if (world_.options.run_timeout_rate > 0) {
    // The neighbour of a task that its engine was killed for may have begun, its note unseen.
    world_.runs.allow_again(task);
  }
  if (journaled_.contains(task)) {
    journal(task, [&] { append_return(unwritten_, action.msg_id, action.progress); });
  }
}

void SimController::perform(AnswerAgain& action) {
  if (const auto task = task_number(action.msg_id); recent_.contains(task)) {
    put({.to = Outgoing::To::client, .task = task});
  }
}

}  // namespace ipf::sim
