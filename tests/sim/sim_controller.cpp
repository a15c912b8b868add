// SimController: the scheduler's thread, and what both threads share.
#include "sim/sim_controller.hpp"

#include <utility>

#include "scheduler/journal_format.hpp"
#include "sim/trace.hpp"

namespace ipf::sim {

namespace {

TaskMachineOptions task_options(const SimOptions& options) {
  TaskMachineOptions out;
  out.scheme = options.scheme;
  out.hwm = options.hwm;
  out.seed = options.seed;
  out.poison_limit = options.poison_limit;
  out.interrupt_grace = options.busy * 4;
  return out;
}

HubOptions hub_options(const SimOptions& options) {
  HubOptions out;
  out.heartbeat_period = options.heartbeat_period;
  out.engines.registration_timeout = std::chrono::seconds{2};
  out.engines.pending_max = 100'000;
  return out;
}

}  // namespace

SimController::SimController(World& world, Links links)
    : world_(world),
      links_(std::move(links)),
      task_options_(task_options(world.options)),
      hub_options_(hub_options(world.options)),
      heart_options_{.period = world.options.heartbeat_period,
                     .misses_max = world.options.misses_max},
      store_(DictStore::Options{.record_limit = world.options.record_limit}),
      late_store_(world,
                  store_,
                  [this](StoreAnswered answer) {
                    hub_step(std::move(answer));
                    arm_timers();
                  }),
      direct_(world, links_.engine),
      task_checker_(world.options, task_options_, world.book),
      mutation_(world.options) {
  append_magic(disk_);
  build();
}

void SimController::build() {
  auto broken = task_options_;
  mutation_.options(broken);
  tasks_ = std::make_unique<TaskMachine>(broken);
  hub_ = std::make_unique<HubMachine>(hub_options_, late_store_);
  hearts_ = std::make_unique<HeartbeatMachine>(heart_options_, world_.now());
  armed_.assign(round_end + 1, TimePoint::never());
  ++era_;
}

void SimController::start() {
  arm_timers();
}

void SimController::restart() {
  world_.note("controller restarts");
  lose_round();
  inbox_.clear();
  commands_.clear();
  peers_.clear();
  kept_ = 0;
  task_checker_.restart(world_.options.journal, unwritten_tasks_);
  unwritten_tasks_.clear();
  hub_checker_.restart();
  direct_.restart();
  late_store_.forget_questions();
  asked_ = 0;
  told_ = 0;
  build();
  HubActions actions;
  if (!saved_engines_.empty() && !hub_->restore(world_.now(), saved_engines_, actions)) {
    throw SimFailure("hub: cannot restore from what it saved: " + saved_engines_);
  }
  for (auto& action : actions) {
    hub_checker_.see(action);
    std::visit([this](auto& concrete) { perform(concrete); }, action);
  }
  if (world_.options.journal) {
    take_up_journal();
  }
  arm_timers();
}

// ---- clock --------------------------------------------------------------------------------------

void SimController::wake_at(TimePoint when, Token token) {
  if (when < armed_[token]) {
    armed_[token] = when;
    world_.queue.at(when, *this, (era_ << 8U) | token);
  }
}

/// Threads wake a little late.
void SimController::arm_timers() {
  const auto late = Duration{static_cast<std::int64_t>(
      world_.network.below(static_cast<std::uint64_t>(world_.options.mailbox_delay.count()) + 1))};
  for (const auto& [deadline, token] : {std::pair{hub_->next_deadline(), hub_timer},
                                        std::pair{hearts_->next_deadline(), heart_timer},
                                        std::pair{tasks_->next_deadline(), task_timer}}) {
    if (deadline != TimePoint::never() && deadline < armed_[token]) {
      wake_at(std::max(deadline, world_.now()) + late, token);
    }
  }
}

void SimController::wake(std::uint64_t token) {
  if (token >> 8U != era_) {
    return;
  }
  const auto kind = static_cast<Token>(token & 0xFFU);
  if (armed_[kind] == world_.now()) {
    armed_[kind] = TimePoint::never();
  }
  switch (kind) {
    case inbox:
      take_inbox();
      break;
    case hub_timer:
      take_inbox();
      if (hub_->next_deadline() <= world_.now()) {
        hub_step(TimePassed{});
      }
      break;
    case heart_timer:
      take_inbox();
      beat();
      break;
    case commands:
      take_commands();
      break;
    case task_timer:
      if (tasks_->next_deadline() <= world_.now()) {
        task_step(TaskTimePassed{});
      }
      break;
    case outbox:
      retry_outbox();
      break;
    case round_end:
      flush_round();
      break;
  }
  arm_timers();
}

// ---- scheduler: in ------------------------------------------------------------------------------

void SimController::submit(std::uint32_t task) {
  const auto& plan = world_.book.plan(task);
  world_.note("submitted", task);
  auto options = world_.book.options_of(task);
  if (!options.targets.empty()) {
    take_commands();  // an engine that a client names must be known here, too
  }
  task_step(TaskSubmitted{.msg_id = task_name(task),
                          .options = std::move(options),
                          .request = request_message(task, plan.client, world_.wall()),
                          .client = plan.client});
  arm_timers();
}

void SimController::from_engine(std::uint32_t engine, const FromEngine& message) {
  Peer& from = peer(engine);
  if (message.kind == FromEngine::Kind::disconnected) {
    from.connected = false;
  } else if (message.kind == FromEngine::Kind::connected) {
    from.connected = true;
    while (!from.kept.empty()) {
      links_.engine(engine)->send_task(from.kept.front().task);
      from.kept.pop_front();
      --kept_;
    }
  } else {
    const auto client =
        message.task < world_.book.size() ? world_.book.plan(message.task).client : 0;
    task_step(TaskReplied{.msg_id = task_name(message.task),
                          .engine_uuid = engine_name(engine),
                          .succeeded = message.succeeded,
                          .dependencies_met = message.met,
                          .reply = reply_message(message.task, client, engine),
                          .aborted = message.aborted,
                          .forgotten = message.aborted});
    arm_timers();
  }
}

void SimController::engine_started(std::uint32_t engine, std::uint32_t task) {
  task_step(TaskStarted{.msg_id = task_name(task), .engine_uuid = engine_name(engine)});
  arm_timers();
}

void SimController::take_commands() {
  while (!commands_.empty()) {
    Command command = std::move(commands_.front());
    commands_.pop_front();
    if (const auto* left = std::get_if<EngineLeft>(&command)) {
      Peer& gone = peer(engine_number(left->uuid));
      kept_ -= gone.kept.size();
      gone.kept.clear();
    }
    std::visit([this](auto& event) { task_step(std::move(event)); }, command);
  }
}

void SimController::retry_outbox() {
  if (kept_ == 0) {
    return;
  }
  std::vector<std::uint32_t> given_up;
  TimePoint next = TimePoint::never();
  for (auto& to : peers_) {
    kept_ -= std::erase_if(to.kept, [&](const Kept& kept) {
      if (kept.deadline <= world_.now()) {
        given_up.push_back(kept.task);
        return true;
      }
      next = std::min(next, kept.deadline);
      return false;
    });
  }
  for (const auto task : given_up) {
    world_.note("undeliverable", task);
    task_step(TaskUndeliverable{.msg_id = task_name(task)});
  }
  if (next != TimePoint::never()) {
    wake_at(next, outbox);
  }
}

// ---- scheduler: out -----------------------------------------------------------------------------

void SimController::task_step(TaskEvent event) {
  task_checker_.begin(world_.now(), event);
  const bool told = !mutation_.active() || mutation_.event(event);
  TaskActions actions = std::move(task_actions_);
  actions.clear();
  if (told) {
    tasks_->step(world_.now(), std::move(event), actions);
  }
  if (mutation_.active()) {
    mutation_.actions(actions);
  }
  for (auto& action : actions) {
    task_checker_.see(action);
    std::visit([this](auto& concrete) { perform(concrete); }, action);
  }
  task_actions_ = std::move(actions);
  task_checker_.end(*tasks_);
  if (world_.options.journal && world_.options.round.count() > 0) {
    wake_at(world_.now() + world_.options.round, round_end);
  } else {
    flush_round();
  }
  if (tasks_->next_deadline() <= world_.now() && std::holds_alternative<TaskTimePassed>(event)) {
    throw SimFailure("the task machine left a deadline behind");
  }
  check_invariants(false);
}

void SimController::send_to_engine(std::uint32_t engine, std::uint32_t task, bool again) {
  Peer& to = peer(engine);
  if (to.connected && to.kept.empty()) {
    links_.engine(engine)->send_task(task);
    return;
  }
  const auto deadline = again ? TimePoint::never() : world_.now() + world_.options.outbox_patience;
  to.kept.push_back({.deadline = deadline, .task = task, .again = again});
  ++kept_;
  if (deadline != TimePoint::never()) {
    wake_at(deadline, outbox);
  }
}

SimController::Peer& SimController::peer(std::uint32_t engine) {
  if (engine >= peers_.size()) {
    peers_.resize(engine + 1);
  }
  return peers_[engine];
}

void SimController::tell_hub(HubEvent event) {
  to_hub_.push_back(std::move(event));
}

void SimController::put(const Outgoing& message) {
  outgoing_.push_back(message);
}

void SimController::perform(SendTask& action) {
  const auto engine = engine_number(action.engine_uuid);
  const auto task = task_number(action.msg_id);
  world_.note("sent", task, engine);
  put({.to = Outgoing::To::engine, .engine = engine, .task = task, .again = action.restored});
  if (action.first_sight) {
    journal_submission(task, action.msg_id, action.request);
  }
  journal_assignment(task, action.msg_id, action.engine_uuid);
  if (action.first_sight) {
    tell_hub(RequestSeen{.queue = TaskQueue::task,
                         .msg_id = std::move(action.msg_id),
                         .engine_uuid = std::move(action.engine_uuid),
                         .request = std::move(action.request)});
  } else {
    tell_hub(TaskAssigned{.msg_id = std::move(action.msg_id),
                          .engine_uuid = std::move(action.engine_uuid)});
  }
}

void SimController::perform(NoteSubmission& action) {
  const auto task = task_number(action.msg_id);
  world_.note("waits", task);
  journal_submission(task, action.msg_id, action.request);
  tell_hub(RequestSeen{.queue = TaskQueue::task,
                       .msg_id = std::move(action.msg_id),
                       .engine_uuid = {},
                       .request = std::move(action.request)});
}

void SimController::perform(ForwardReply& action) {
  const auto task = task_number(action.msg_id);
  world_.note("answered", task, engine_number(action.engine_uuid));
  put({.to = Outgoing::To::client, .task = task});
  journal_answer(task, action.engine_uuid, action.reply, action.msg_id, false);
  tell_hub(ReplySeen{.queue = TaskQueue::task,
                     .msg_id = std::move(action.msg_id),
                     .engine_uuid = std::move(action.engine_uuid),
                     .reply = std::move(action.reply)});
}

void SimController::perform(FailTask& action) {
  const auto task = task_number(action.msg_id);
  world_.note("failed by the scheduler", task);
  put({.to = Outgoing::To::client, .task = task});
  auto reply = reply_message(task, 0, none);
  journal_answer(task, action.engine_uuid, reply, action.msg_id, true);
  tell_hub(ReplySeen{.queue = TaskQueue::task,
                     .msg_id = std::move(action.msg_id),
                     .engine_uuid = std::move(action.engine_uuid),
                     .reply = std::move(reply)});
}

void SimController::perform(InterruptTask& action) {
  const auto engine = engine_number(action.engine_uuid);
  world_.note("signal for", task_number(action.msg_id), engine);
  put({.to = Outgoing::To::signal, .engine = engine, .signal = action.signal});
}

void SimController::perform(AbortAtEngine& action) {
  const auto engine = engine_number(action.engine_uuid);
  world_.note("abort of", task_number(action.msg_id), engine);
  world_.runs.allow_again(task_number(action.msg_id));
  put({.to = Outgoing::To::abort, .engine = engine, .task = task_number(action.msg_id)});
}

}  // namespace ipf::sim
