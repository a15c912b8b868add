#include "controller/task_reactor.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/text.hpp"

namespace ipf {

namespace {

bool is_request(std::string_view type) {
  return type == "apply_request" || type == "execute_request";
}

}  // namespace

TaskReactor::TaskReactor(const NetLimits& limits,
                         const Signer& signer,
                         SeenSignatures& seen,
                         const TaskMachineOptions& options,
                         HubMailbox& hub,
                         Log& log)
    : signer_(signer),
      hub_(hub),
      log_(log),
      clients_(loop_, "task queue", ZmtpRouter::Options::with("task_in", limits), log),
      engines_(loop_, "task queue for engines", ZmtpRouter::Options::with("task_out", limits), log),
      commands_(mailbox_capacity, [this] { wakeup_.signal(); }),
      machine_(options),
      outbox_(engines_,
              [this](const std::string& /*uuid*/,
                     const std::string& msg_id,
                     const Message& /*request*/) { undeliverable_.push_back(msg_id); }),
      replays_(seen),
      session_(new_session_id(), user_name(), signer),
      rejections_(log, "task") {}

void TaskReactor::run(const std::stop_token& stop) {
  take_up_restored();
  while (!stop.stop_requested()) {
    TimePoint now = steady_now();
    loop_.wait(now,
               std::min({machine_.next_deadline(), outbox_.next_deadline(now), hub_.next_deadline(),
                         clients_.next_deadline(), engines_.next_deadline()}));
    now = steady_now();
    if (wakeup_.take()) {
      take_commands(now);
    }
    receive_replies(now);
    receive_requests(now);
    if (outbox_.next_deadline(now) != TimePoint::never()) {
      outbox_.retry(now);
      for (auto& msg_id : std::exchange(undeliverable_, {})) {
        step(now, TaskUndeliverable{.msg_id = std::move(msg_id)});
      }
    }
    if (machine_.next_deadline() <= now) {
      step(now, TaskTimePassed{});
    }
    routes_.look_around(now);
    recent_.expire(now);
    clients_.check_deadlines(now);
    engines_.check_deadlines(now);
    flush(now);
  }
}

/// In this order: what an engine or a client has seen is in the journal, and who has an answer may
/// ask the hub about it at once.
void TaskReactor::flush(TimePoint now) {
  if (journal_) {
    if (const auto written = journal_->flush(now); !written) {
      log_.error("task::" + written.error().message +
                 "; tasks go on, but a restart would not know them");
    }
  }
  for (auto& control : std::exchange(controls_, {})) {
    to_relay_(std::move(control));
  }
  write_figures();
  hub_.flush(now);
  apply_limits();
  engines_.flush();
  clients_.flush();
}

void TaskReactor::write_figures() {
  board_.write({.clients = clients_.traffic(),
                .engines = engines_.traffic(),
                .rejected = rejections_.counts(),
                .open = machine_.task_count(),
                .open_bytes = backlog_.all(),
                .waiting = machine_.waiting_count(),
                .running = machine_.running_count(),
                .finished = finished_,
                .failed = failed_,
                .spilled_bytes = spill_ ? spill_->bytes() : 0,
                .journal_open = journal_ ? journal_->open_count() : 0});
}

// ---- limits -------------------------------------------------------------------------------------

void TaskReactor::limit(const Backlog::Limits& limits, SpillStore::Options spill) {
  backlog_ = Backlog(limits);
  spill_.emplace(std::move(spill));
}

Message TaskReactor::spilled(TimePoint now, Message request) {
  constexpr Duration pause = std::chrono::seconds(10);
  if (!spill_ || !backlog_.spills() || now < spill_again_) {
    return request;
  }
  auto frames = spill_->spill(request.frames());
  if (!frames) {
    spill_again_ = now + pause;
    log_.warning("task::" + frames.error().message + "; it stays in memory");
    return request;
  }
  auto message = Message::split(std::move(*frames));
  return message ? std::move(*message) : request;
}

void TaskReactor::count_in(const Message& request) {
  backlog_.add(request.identity(0), request.frames().total_bytes());
}

void TaskReactor::count_out(const Message& request) {
  backlog_.remove(request.identity(0), request.frames().total_bytes());
}

void TaskReactor::apply_limits() {
  clients_.pause_reading(backlog_.full());
  for (const auto& change : backlog_.take_changes()) {
    clients_.pause_reading_of(change.client, change.stop);
    log_.info(change.stop ? "task::a client has too many bytes of unanswered requests and waits"
                          : "task::a client that had to wait may go on");
  }
}

// ---- restart ------------------------------------------------------------------------------------

void TaskReactor::keep_journal(TaskJournal journal) {
  journal_.emplace(std::move(journal));
  journal_->remember_by([this] { return machine_.remembered(); });
}

void TaskReactor::take_up_restored() {
  JournalContents known = std::exchange(restored_, {});
  if (known.tasks.empty() && known.outcomes.empty()) {
    return;
  }
  const TimePoint now = steady_now();
  take_commands(now);  // the engines that the hub restored
  step(now, OutcomesRestored{.outcomes = std::move(known.outcomes)});
  TasksRestored unfinished;
  for (auto& task : known.tasks) {
    auto request = readdressed(*task.request);
    const auto header = reader_.read_header(request);
    auto options = header ? reader_.read_task_options(request) : unexpected(header.error());
    if (!options) {
      log_.warning("task::a task of the journal cannot be read: " + options.error().message);
    } else if (task.reply) {
      restore_result(now, task, std::move(request));
    } else {
      unfinished.tasks.push_back({.task = {.msg_id = std::move(task.msg_id),
                                           .options = std::move(*options),
                                           .request = std::move(request),
                                           .client = key_of(header->session, 0)},
                                  .engine_uuid = std::move(task.engine_uuid),
                                  .handed_over = task.handed_over,
                                  .progress = std::move(task.progress)});
    }
  }
  log_.info("task::restored " + std::to_string(unfinished.tasks.size()) + " unfinished tasks and " +
            std::to_string(known.tasks.size() - unfinished.tasks.size()) + " results");
  step(now, std::move(unfinished));
  flush(now);
}

/// The connection of the client is another one now: see ClientRoutes. So may be the key.
Message TaskReactor::readdressed(const Message& request) const {
  FramesBuilder builder;
  builder.add(std::string_view("restored"));
  builder.add_from(request.frames(), request.identity_count());
  return signed_by(Message::split(builder.finish()).value_or(request), signer_);
}

void TaskReactor::restore_result(TimePoint now, JournaledTask& task, Message request) {
  const auto metadata = reader_.read_reply_metadata(*task.reply).value_or(ReplyMetadata{});
  step(now, OutcomeRestored{.msg_id = task.msg_id,
                            .engine_uuid = task.made_here ? std::string{} : task.engine_uuid,
                            .succeeded = metadata.status == "ok"});
  // The client may not have got it, and the database may not have it yet.
  recent_.add(now, task.msg_id, signed_by(*task.reply, signer_).frames());
  hub_.events().emplace_back(RequestSeen{.queue = TaskQueue::task,
                                         .msg_id = task.msg_id,
                                         .engine_uuid = task.engine_uuid,
                                         .request = std::move(request)});
  hub_.events().emplace_back(ReplySeen{.queue = TaskQueue::task,
                                       .msg_id = std::move(task.msg_id),
                                       .engine_uuid = std::move(task.engine_uuid),
                                       .reply = std::move(*task.reply)});
  hub_.flush(now);
}

// ---- in -----------------------------------------------------------------------------------------

void TaskReactor::take_commands(TimePoint now) {
  std::vector<TaskCommand> taken = std::move(spare_commands_);  // obeying may come back here
  spare_commands_.clear();
  commands_.take(taken);
  for (auto& command : taken) {
    std::visit([&](auto& concrete) { obey(now, concrete); }, command);
  }
  taken.clear();
  spare_commands_ = std::move(taken);
}

void TaskReactor::obey(TimePoint now, EngineAnnounced& command) {
  step(now,
       EngineJoined{.uuid = std::move(command.uuid), .resources = std::move(command.resources)});
}

void TaskReactor::obey(TimePoint now, EngineRetired& command) {
  outbox_.forget(command.uuid);
  step(now, EngineLeft{.uuid = std::move(command.uuid), .silent = command.silent});
}

void TaskReactor::obey(TimePoint now, ExplainTasks& command) {
  TasksExplained answer{.token = command.token, .explanations = {}};
  for (auto& msg_id : command.msg_ids) {
    auto found = machine_.explain(now, msg_id);
    answer.explanations.push_back({.msg_id = std::move(msg_id),
                                   .state = std::move(found.state),
                                   .reason = std::move(found.reason)});
  }
  hub_.events().emplace_back(std::move(answer));
}

void TaskReactor::obey(TimePoint now, ResubmitTask& command) {
  submit(now, std::move(command.original));
}

void TaskReactor::receive_requests(TimePoint now) {
  while (auto frames = clients_.receive()) {
    auto message = accept_message(*frames, signer_, replays_);
    if (!message) {
      rejections_.note(now, "a request", message.error(), clients_.peer_address((*frames)[0]));
      continue;
    }
    submit(now, std::move(*message));
  }
}

void TaskReactor::submit(TimePoint now, Message request) {
  const auto header = reader_.read_header(request);
  if (!header) {
    rejections_.note(now, "a request", header.error(), clients_.peer_address(request.identity(0)));
    return;
  }
  std::string msg_id(header->msg_id);
  const std::uint64_t client = key_of(header->session, 0);
  if (request.identity(0) != resubmitter) {
    routes_.spoke(request.identity(0), header->session);
  }
  if (!is_request(header->msg_type)) {
    refuse(now, request, msg_id,
           {"TypeError", "the task queue takes apply_request and execute_request, not '" +
                             printable(header->msg_type) + "'"});
    return;
  }
  auto options = reader_.read_task_options(request);
  if (!options) {
    refuse(now, request, msg_id, {"TypeError", "task " + options.error().message});
    return;
  }
  if (!options->targets.empty()) {
    take_commands(now);  // an engine that a client names must be known here, too
  }
  step(now, TaskSubmitted{.msg_id = std::move(msg_id),
                          .options = std::move(*options),
                          .request = spilled(now, std::move(request)),
                          .client = client});
}

void TaskReactor::refuse(TimePoint now,
                         const Message& request,
                         const std::string& msg_id,
                         const RemoteFailure& failure) {
  NoteSubmission note{.msg_id = msg_id, .request = request};
  FailTask answer{.msg_id = msg_id, .engine_uuid = {}, .request = request, .failure = failure};
  perform(now, note);
  perform(now, answer);
}

void TaskReactor::send_again(TimePoint now) {
  for (const std::string& engine : engines_.take_named()) {
    if (!outbox_.is_back(engine)) {
      continue;
    }
    for (const auto& task : machine_.unanswered_at(engine)) {
      outbox_.send(now, engine, task.msg_id, task.request);
    }
  }
}

void TaskReactor::receive_replies(TimePoint now) {
  send_again(now);
  while (auto frames = engines_.receive()) {
    auto message = verify_message(*frames, signer_);
    if (!message) {
      rejections_.note(now, "a reply", message.error(), engines_.peer_address((*frames)[0]));
      continue;
    }
    const auto parent = reader_.read_parent(*message);
    if (!parent || message->identity_count() < 2) {
      rejections_.note(now, "a reply",
                       parent ? Error{ErrorCode::malformed, "no client identity"} : parent.error(),
                       engines_.peer_address((*frames)[0]));
      continue;
    }
    const auto metadata = reader_.read_reply_metadata(*message).value_or(ReplyMetadata{});
    step(now, TaskReplied{.msg_id = std::string(parent->msg_id),
                          .engine_uuid = std::string(message->identity(0)),
                          .succeeded = metadata.status == "ok",
                          .dependencies_met = metadata.dependencies_met,
                          .reply = std::move(*message),
                          .aborted = metadata.status == "aborted" || metadata.status == "moved",
                          .forgotten = metadata.status == "moved"});
  }
}

// ---- out ----------------------------------------------------------------------------------------

void TaskReactor::step(TimePoint now, TaskEvent event) {
  machine_.step(now, std::move(event), actions_);
  constexpr std::size_t burst = 4096;  // a restart has an action for each unfinished task
  for (auto& action : actions_) {
    std::visit([&](auto& concrete) { perform(now, concrete); }, action);
    if (hub_.events().size() >= burst) {
      hub_.flush(now);
    }
  }
  actions_.clear();
}

void TaskReactor::perform(TimePoint now, SendTask& action) {
  if (action.signed_anew) {
    action.request = signed_anew(action.request, signer_, ++signed_anew_);
  }
  outbox_.send(now, action.engine_uuid, action.msg_id, action.request,
               action.restored ? EngineOutbox::Patience::until_forgotten
                               : EngineOutbox::Patience::some_seconds);
  if (action.first_sight) {
    count_in(action.request);
  }
  if (journal_) {
    if (action.first_sight) {
      journal_->submitted(action.msg_id, action.request);
    }
    journal_->assigned(action.msg_id, action.engine_uuid);
  }
  if (action.first_sight) {
    hub_.events().emplace_back(RequestSeen{.queue = TaskQueue::task,
                                           .msg_id = std::move(action.msg_id),
                                           .engine_uuid = std::move(action.engine_uuid),
                                           .request = std::move(action.request)});
  } else {
    hub_.events().emplace_back(TaskAssigned{.msg_id = std::move(action.msg_id),
                                            .engine_uuid = std::move(action.engine_uuid)});
  }
}

void TaskReactor::perform(TimePoint /*now*/, NoteSubmission& action) {
  count_in(action.request);
  if (journal_) {
    journal_->submitted(action.msg_id, action.request);
  }
  hub_.events().emplace_back(RequestSeen{.queue = TaskQueue::task,
                                         .msg_id = std::move(action.msg_id),
                                         .engine_uuid = {},
                                         .request = std::move(action.request)});
}

void TaskReactor::perform(TimePoint /*now*/, NoteReturn& action) {
  if (journal_) {
    journal_->returned(action.msg_id, action.progress);
  }
}

void TaskReactor::send_to_client(TimePoint now,
                                 const Message& request,
                                 std::span<const std::string_view> route,
                                 const Frames& frames,
                                 std::size_t from) {
  if (clients_.send(route, frames, from) == SendResult::sent || route[0] == resubmitter) {
    return;
  }
  if (const auto header = reader_.read_header(request)) {
    routes_.send_elsewhere(now, header->session, route.subspan(1), frames, from);
  }
}

void TaskReactor::perform(TimePoint now, ForwardReply& action) {
  ++finished_;
  count_out(action.request);
  const std::array<std::string_view, 2> route{action.request.identity(0), action.engine_uuid};
  send_to_client(now, action.request, route, action.reply.frames(), action.reply.identity_count());
  if (journal_) {
    journal_->answered(action.msg_id, action.engine_uuid, action.reply, false);
  }
  hub_.events().emplace_back(ReplySeen{.queue = TaskQueue::task,
                                       .msg_id = std::move(action.msg_id),
                                       .engine_uuid = std::move(action.engine_uuid),
                                       .reply = std::move(action.reply)});
}

void TaskReactor::perform(TimePoint now, FailTask& action) {
  ++failed_;
  count_out(action.request);
  const WallTime wall = wall_now();
  std::string metadata = "{}";
  std::vector<std::string_view> route{action.request.identity(0)};
  if (!action.engine_uuid.empty()) {
    route.push_back(action.engine_uuid);
    metadata =
        dump_json({{"status", "error"}, {"engine", action.engine_uuid}, {"date", to_iso(wall)}});
  }
  const std::string content = error_content(action.failure);
  const Frames frames = session_.make({.type = "apply_reply",
                                       .parent = action.request.header(),
                                       .metadata = metadata,
                                       .content = content,
                                       .identities = route},
                                      wall);
  auto reply = *Message::split(frames);
  send_to_client(now, action.request, route, frames, reply.identity_count());
  if (journal_) {
    journal_->answered(action.msg_id, action.engine_uuid, reply, true);
  }
  hub_.events().emplace_back(ReplySeen{.queue = TaskQueue::task,
                                       .msg_id = std::move(action.msg_id),
                                       .engine_uuid = std::move(action.engine_uuid),
                                       .reply = std::move(reply)});
}

/// The nanny obeys it, whatever the engine is doing.
void TaskReactor::perform(TimePoint /*now*/, InterruptTask& action) {
  log_.info("task::signal " + std::to_string(action.signal) + " for engine '" +
            printable(action.engine_uuid) + "': task '" + printable(action.msg_id) +
            "' is behind its run_timeout");
  controls_.push_back({.uuid = std::move(action.engine_uuid),
                       .msg_type = "signal_request",
                       .content = dump_json(Json::object({{"sig", action.signal}}))});
}

void TaskReactor::perform(TimePoint /*now*/, AbortAtEngine& action) {
  const Json content = Json::object({{"msg_ids", Json::array({std::move(action.msg_id)})},
                                     {"ipyfleet", Json::object({{"moved", true}})}});
  controls_.push_back({.uuid = std::move(action.engine_uuid),
                       .msg_type = "abort_request",
                       .content = dump_json(content)});
}

void TaskReactor::perform(TimePoint now, AnswerAgain& action) {
  const Frames* reply = recent_.find(action.msg_id);
  if (reply == nullptr) {
    rejections_.note(now, "a request",
                     {ErrorCode::replayed, "its msg_id is that of a task that was answered"},
                     clients_.peer_address(action.request.identity(0)));
    return;
  }
  const std::array<std::string_view, 1> route{action.request.identity(0)};
  clients_.send(route, *reply, Message::split(*reply)->identity_count());
}

void TaskReactor::perform(TimePoint /*now*/, TaskLog& action) {
  log_.write(action.level, action.text);
}

}  // namespace ipf
