#include "hub/hub_machine.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <variant>

#include "core/check.hpp"
#include "core/log.hpp"
#include "protocol/error_content.hpp"
#include "protocol/frames.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

namespace {

std::int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

std::string label(EngineId id, std::string_view uuid) {
  return std::to_string(id.value) + ":" + printable(uuid);
}

std::string engine_content(EngineId id, const std::string& uuid) {
  return dump_json(Json::object({{"id", id.value}, {"uuid", uuid}}));
}

void log(HubActions& actions, LogLevel level, std::string text) {
  actions.emplace_back(WriteLog{.level = level, .text = std::move(text)});
}

bool is_recorded_output(std::string_view msg_type) {
  constexpr std::array<std::string_view, 5> types{"stream", "execute_input", "execute_result",
                                                  "error", "display_data"};
  return std::ranges::find(types, msg_type) != types.end();
}

/// The reply that an engine that is gone will not give, for the record only: nobody sends it.
Message lost_reply(const TaskLedger::Stranded& task, WallTime wall) {
  const std::string evalue = task.engine_id.value < 0
                                 ? "Engine '" + printable(task.engine_uuid) +
                                       "' is not here; task '" + task.msg_id + "' was not run"
                                 : "Engine " + std::to_string(task.engine_id.value) +
                                       " died while running task '" + task.msg_id + "'";
  const Json header = {{"msg_id", task.msg_id + "_lost"},
                       {"msg_type", "apply_reply"},
                       {"username", ""},
                       {"session", ""},
                       {"date", to_iso(wall)},
                       {"version", "5.4"}};
  FramesBuilder builder;
  builder.add(delimiter);
  builder.add(std::string_view{});
  builder.add(dump_json(header));
  builder.add(dump_json(Json::object({{"msg_id", task.msg_id}})));
  builder.add(dump_json(Json::object({{"status", "error"}, {"engine", task.engine_uuid}})));
  builder.add(error_content({.ename = "EngineError", .evalue = evalue}));
  auto message = Message::split(builder.finish());
  IPF_CHECK(message);
  return std::move(*message);
}

}  // namespace

HubMachine::HubMachine(const HubOptions& options, Store& store)
    : options_(options),
      store_(store),
      engines_(options.engines),
      ledger_(options.ledger),
      repeater_(options.repeats),
      queries_(options.queries, engines_, ledger_, store) {}

void HubMachine::step(TimePoint now, WallTime wall, HubEvent event, HubActions& actions) {
  Turn turn{.now = now, .wall = wall, .actions = actions};
  std::visit([&](auto& happened) { on_event(turn, happened); }, event);
  if (next_deadline() <= now) {
    on_deadlines(turn);
  }
}

TimePoint HubMachine::next_deadline() const {
  return std::min({engines_.next_deadline(), ledger_.next_deadline(), repeater_.next_deadline(),
                   queries_.next_deadline(), questions_.next_deadline(), restore_deadline_,
                   save_due_});
}

// ---- tasks: the hot path ------------------------------------------------------------------------

void HubMachine::on_event(Turn& turn, RequestSeen& event) {
  const auto rejected = ledger_.rejected_count();
  ledger_.add(event.msg_id, event.queue, event.engine_uuid, turn.now + options_.lost_engine_grace);
  if (rejected == 0 && ledger_.rejected_count() > 0) {
    log(turn.actions, LogLevel::warning,
        "hub::" + std::to_string(ledger_.pending_count()) +
            " tasks are pending; queue_status and result_status do not know of further ones");
  }
  store_.apply(event.msg_id, RecordRequest{.queue = event.queue,
                                           .engine_uuid = std::move(event.engine_uuid),
                                           .request = std::move(event.request)});
}

void HubMachine::on_event(Turn& /*turn*/, TaskAssigned& event) {
  ledger_.assign(event.msg_id, event.engine_uuid);
  store_.apply(event.msg_id, RecordAssignment{.engine_uuid = std::move(event.engine_uuid)});
}

void HubMachine::on_event(Turn& turn, ReplySeen& event) {
  ledger_.finish(event.msg_id, event.engine_uuid);
  Message kept = queries_.reply_to_keep(event.msg_id, std::move(event.reply));
  store_.apply(event.msg_id, RecordReply{.engine_uuid = std::move(event.engine_uuid),
                                         .received = turn.wall,
                                         .reply = std::move(kept)});
}

void HubMachine::on_event(Turn& turn, OutputSeen& event) {
  if (event.msg_type == "shutdown_reply") {
    // Only the engine itself may say so: its uuid is its session.
    if (const auto engine = engines_.find(std::string_view(event.sender_session))) {
      lose_engine(turn, engine->id, HeartState::known, "shutdown_reply");
    }
    return;
  }
  if (!event.parent_msg_id.empty() && is_recorded_output(event.msg_type)) {
    store_.apply(event.parent_msg_id, RecordOutput{.msg_type = std::move(event.msg_type),
                                                   .output = std::move(event.output)});
  }
}

// ---- engines ------------------------------------------------------------------------------------

void HubMachine::on_request(Turn& turn, const Message& from, const RegistrationRequest& request) {
  const auto before = told_before(from, request.uuid);
  const auto id = before ? *before : engines_.begin(request.uuid, request.wanted_id, turn.now);
  SendHubReply reply{
      .request = from, .msg_type = "registration_reply", .content = {}, .with_parent = false};
  if (!id) {
    const auto& error = id.error();
    reply.content =
        error_content(error.code == ErrorCode::invalid_argument
                          ? key_error(error.message)
                          : RemoteFailure{.ename = "RuntimeError", .evalue = error.message});
    log(turn.actions, LogLevel::error,
        "registration::registration failed: " + printable(error.message, 300));
    turn.actions.emplace_back(std::move(reply));
    return;
  }
  // Never connection details and never the key: the engine has them from its file (trap 23).
  reply.content = dump_json(Json::object({{"id", id->value},
                                          {"status", "ok"},
                                          {"hb_period", milliseconds(options_.heartbeat_period)},
                                          {"ipyfleet", Json::object()}}));
  if (before) {
    turn.actions.emplace_back(std::move(reply));
    if (unproven_.erase(request.uuid) > 0 && !without_heart_.contains(request.uuid)) {
      turn.actions.emplace_back(TrustEngine{.uuid = request.uuid});
    }
    log(turn.actions, LogLevel::info,
        "registration::told engine " + label(*id, request.uuid) + " its number again");
    return;
  }
  if (!request.resources.empty()) {
    resources_[request.uuid] = request.resources;
  }
  turn.actions.emplace_back(ExpectHeart{.uuid = request.uuid});
  turn.actions.emplace_back(std::move(reply));
  log(turn.actions, LogLevel::info,
      "registration::accepting registration " + label(*id, request.uuid));
  if (request.wanted_id && *request.wanted_id != *id) {
    log(turn.actions, LogLevel::warning,
        "registration::engine number " + std::to_string(request.wanted_id->value) +
            " is not free for " + label(*id, request.uuid));
  }
}

std::optional<EngineId> HubMachine::told_before(const Message& from,
                                                const std::string& uuid) const {
  if (from.identity_count() == 0 || from.identity(0) != uuid) {
    return std::nullopt;
  }
  if (restored_.contains(uuid)) {
    return engines_.find(std::string_view(uuid))->id;
  }
  return engines_.pending_id(uuid);
}

void HubMachine::on_event(Turn& turn, HeartStarted& event) {
  if (without_heart_.erase(event.uuid) > 0 && !unproven_.contains(event.uuid)) {
    turn.actions.emplace_back(TrustEngine{.uuid = event.uuid});
  }
  if (const auto engine = engines_.complete(event.uuid)) {
    finish_registration(turn, *engine);
  }
}

void HubMachine::finish_registration(Turn& turn, const EngineTable::Pending& engine) {
  ledger_.add_engine(engine.uuid);
  repeater_.engine_changed({.id = engine.id, .uuid = engine.uuid}, turn.now);
  turn.actions.emplace_back(
      AnnounceEngine{.id = engine.id, .uuid = engine.uuid, .resources = resources_of(engine.uuid)});
  turn.actions.emplace_back(PublishNotification{.msg_type = "registration_notification",
                                                .content = engine_content(engine.id, engine.uuid)});
  log(turn.actions, LogLevel::info,
      "registration::finished registering engine " + label(engine.id, engine.uuid) + " in " +
          std::to_string(milliseconds(turn.now - engine.since)) + "ms");
  save_engines(turn, false);
}

void HubMachine::on_event(Turn& turn, HeartStopped& event) {
  if (const auto engine = engines_.find(std::string_view(event.uuid))) {
    lose_engine(turn, engine->id, HeartState::forgotten, "its heart stopped");
  }
}

void HubMachine::on_event(Turn& turn, HeartSuspected& event) {
  if (engines_.find(std::string_view(event.uuid))) {
    turn.actions.emplace_back(SuspectEngine{.uuid = std::move(event.uuid)});
  }
}

void HubMachine::on_event(Turn& turn, HeartTrusted& event) {
  if (engines_.find(std::string_view(event.uuid)) && !unproven_.contains(event.uuid)) {
    turn.actions.emplace_back(TrustEngine{.uuid = std::move(event.uuid)});
  }
}

void HubMachine::on_event(Turn& turn, HeartReturned& event) {
  const auto old = engines_.lost_id(event.uuid);
  const auto id = old ? engines_.begin(event.uuid, old, turn.now)
                      : unexpected(ErrorCode::not_found, "nobody remembers its number");
  if (!id) {
    turn.actions.emplace_back(ForgetHeart{.uuid = event.uuid});
    log(turn.actions, LogLevel::warning,
        "registration::engine " + printable(event.uuid) +
            " answers again but cannot come back: " + id.error().message);
    return;
  }
  log(turn.actions, LogLevel::info,
      "registration::engine " + label(*id, event.uuid) + " answers again");
  if (const auto engine = engines_.complete(event.uuid)) {
    finish_registration(turn, *engine);
  }
}

void HubMachine::on_request(Turn& turn, const Message& from, const UnregistrationRequest& request) {
  if (!request.id) {
    // An engine that never got its reply: its socket bears its uuid.
    const std::string_view sender =
        from.identity_count() > 0 ? from.identity(0) : std::string_view{};
    if (const auto pending = engines_.cancel(sender)) {
      drop_pending(turn, *pending, "canceling registration");
    }
    return;
  }
  if (const auto pending = engines_.cancel(*request.id)) {
    drop_pending(turn, *pending, "canceling registration");
    return;
  }
  lose_engine(turn, *request.id, HeartState::known, "unregistration_request");
}

void HubMachine::drop_pending(Turn& turn,
                              const EngineTable::Pending& engine,
                              std::string_view why) {
  resources_.erase(engine.uuid);
  turn.actions.emplace_back(ForgetHeart{.uuid = engine.uuid});
  log(turn.actions, LogLevel::info,
      "registration::" + std::string(why) + " " + label(engine.id, engine.uuid));
}

void HubMachine::lose_engine(Turn& turn, EngineId id, HeartState heart, std::string_view why) {
  const auto engine = engines_.remove(id);
  if (!engine) {
    log(turn.actions, LogLevel::debug,
        "registration::unregister_engine(" + std::to_string(id.value) + ") already unregistered");
    return;
  }
  without_heart_.erase(engine->uuid);
  restored_.erase(engine->uuid);
  unproven_.erase(engine->uuid);
  if (heart == HeartState::known) {  // else it may come back
    resources_.erase(engine->uuid);
  }
  ledger_.remove_engine(engine->uuid, id, turn.now + options_.lost_engine_grace);
  repeater_.engine_changed({.id = id, .uuid = engine->uuid}, turn.now);
  turn.actions.emplace_back(
      RetireEngine{.id = id, .uuid = engine->uuid, .silent = heart == HeartState::forgotten});
  turn.actions.emplace_back(PublishNotification{.msg_type = "unregistration_notification",
                                                .content = engine_content(id, engine->uuid)});
  if (heart == HeartState::known) {
    turn.actions.emplace_back(ForgetHeart{.uuid = engine->uuid});
  }
  log(turn.actions, heart == HeartState::known ? LogLevel::info : LogLevel::warning,
      "registration::unregister_engine(" + std::to_string(id.value) + "): " + std::string(why));
  save_engines(turn, false);
}

std::string HubMachine::engine_state() const {
  Json engines = Json::object();
  for (const auto& [id, uuid] : engines_.active()) {
    engines[std::to_string(id.value)] = uuid;
  }
  Json state =
      Json::object({{"engines", std::move(engines)}, {"next_id", engines_.next_id().value}});
  for (const auto& [uuid, resources] : resources_) {
    state["resources"][uuid] = resources;
  }
  return dump_json(state);
}

ResourceMap HubMachine::resources_of(const std::string& uuid) const {
  const auto found = resources_.find(uuid);
  return found == resources_.end() ? ResourceMap{} : found->second;
}

/// An engine that is not in the file is lost when the controller is killed and restored.
void HubMachine::save_engines(Turn& turn, bool at_once) {
  const bool many = engines_.active().size() > options_.save_at_once_max;
  if (!at_once && many && last_save_ && turn.now < *last_save_ + options_.save_distance) {
    save_due_ = *last_save_ + options_.save_distance;
    return;
  }
  save_due_ = TimePoint::never();
  last_save_ = turn.now;
  turn.actions.emplace_back(SaveEngineState{.json_text = engine_state()});
}

/// What an older or damaged file does not have is simply not there.
void HubMachine::restore_resources(const Json& by_uuid) {
  for (const auto& [uuid, resources] : by_uuid.items()) {
    if (!resources.is_object()) {
      continue;
    }
    for (const auto& [name, amount] : resources.items()) {
      if (amount.is_number()) {
        resources_[uuid][name] = amount.get<double>();
      }
    }
  }
}

Result<void> HubMachine::restore(TimePoint now, std::string_view json_text, HubActions& actions) {
  const auto state = parse_json_object(json_text, "engine state");
  if (!state) {
    return unexpected(state.error());
  }
  const auto engines = state->find("engines");
  if (engines == state->end() || !engines->is_object()) {
    return unexpected(ErrorCode::malformed, "engine state has no 'engines'");
  }
  if (const auto resources = state->find("resources"); resources != state->end()) {
    restore_resources(*resources);
  }
  for (const auto& [key, uuid] : engines->items()) {
    EngineTable::Engine engine{.id = EngineId{-1},
                               .uuid = uuid.is_string() ? uuid.get<std::string>() : std::string{}};
    const auto read = std::from_chars(key.data(), key.data() + key.size(), engine.id.value);
    if (read.ptr != key.data() + key.size() || !engines_.restore(engine)) {
      log(actions, LogLevel::warning, "registration::cannot restore engine " + printable(key));
      continue;
    }
    ledger_.add_engine(engine.uuid);
    without_heart_.insert(engine.uuid);
    restored_.insert(engine.uuid);
    if (options_.new_key) {
      unproven_.insert(engine.uuid);
    }
    restore_deadline_ = now + options_.engines.registration_timeout;
    actions.emplace_back(ExpectHeart{.uuid = engine.uuid});
    actions.emplace_back(AnnounceEngine{
        .id = engine.id, .uuid = engine.uuid, .resources = resources_of(engine.uuid)});
    actions.emplace_back(SuspectEngine{.uuid = engine.uuid});
    log(actions, LogLevel::info, "registration::restored engine " + label(engine.id, engine.uuid));
  }
  if (const auto next = state->find("next_id"); next != state->end() && next->is_number_integer()) {
    const auto value = next->get<std::int64_t>();
    if (value > 0 && value <= EngineTable::id_max.value) {
      engines_.raise_next_id(EngineId{static_cast<std::int32_t>(value)});
    }
  }
  return {};
}

// ---- requests and time --------------------------------------------------------------------------

void HubMachine::on_event(Turn& turn, HubRequestReceived& event) {
  if (const auto* failure = std::get_if<RemoteFailure>(&event.decoded)) {
    ClientQueries::fail(event.request, "hub_error", *failure, turn.actions);
    return;
  }
  std::visit([&](const auto& request) { on_request(turn, event.request, request); },
             std::get<HubRequest>(event.decoded));
}

void HubMachine::on_request(Turn& turn, const Message& from, const ConnectionRequest& request) {
  repeater_.client_asked(turn.now);
  queries_.answer(from, request, turn.now, turn.actions);
}

void HubMachine::on_event(Turn& turn, StoreAnswered& event) {
  queries_.take_answer(event.token, *event.answer, turn.now, turn.actions);
}

void HubMachine::on_request(Turn& turn, const Message& from, const ShutdownRequest& /*request*/) {
  const std::string content = dump_json(Json::object({{"status", "ok"}}));
  save_engines(turn, true);
  log(turn.actions, LogLevel::info, "hub::shutdown requested by a client");
  turn.actions.emplace_back(
      SendHubReply{.request = from, .msg_type = "shutdown_reply", .content = content});
  turn.actions.emplace_back(
      PublishNotification{.msg_type = "shutdown_notification", .content = content, .parent = from});
  turn.actions.emplace_back(StopController{});
}

void HubMachine::on_request(Turn& turn, const Message& from, const ExplainRequest& request) {
  questions_.ask(turn.now, from, request, turn.actions);
}

void HubMachine::on_request(Turn& turn, const Message& from, const StatusRequest& /*request*/) {
  turn.actions.emplace_back(ReportStatus{.request = from});
}

HubFigures HubMachine::figures() const {
  return {.engines = engines_.active().size(),
          .registering = engines_.pending_count(),
          .pending = ledger_.pending_count(),
          .unassigned = ledger_.unassigned_count(),
          .untracked = ledger_.rejected_count(),
          .questions = queries_.waiting_count()};
}

void HubMachine::on_event(Turn& turn, TasksExplained& event) {
  questions_.answer(event, turn.actions);
}

void HubMachine::record_lost_task(Turn& turn, const TaskLedger::Stranded& task) {
  store_.apply(task.msg_id, RecordReply{.engine_uuid = task.engine_uuid,
                                        .received = turn.wall,
                                        .reply = lost_reply(task, turn.wall)});
}

void HubMachine::lose_missing(Turn& turn,
                              const std::unordered_set<std::string>& missing,
                              std::string_view why) {
  std::vector<std::string> uuids(missing.begin(), missing.end());
  std::ranges::sort(uuids);
  for (const auto& uuid : uuids) {
    if (const auto engine = engines_.find(std::string_view(uuid))) {
      lose_engine(turn, engine->id, HeartState::known, why);
    }
  }
}

void HubMachine::on_deadlines(Turn& turn) {
  for (const auto& engine : engines_.take_expired(turn.now)) {
    drop_pending(turn, engine, "no heart in time, dropping registration");
  }
  if (restore_deadline_ <= turn.now) {
    restore_deadline_ = TimePoint::never();
    lose_missing(turn, without_heart_, "no heart since the restart");
    lose_missing(turn, unproven_, "it does not have the new key");
  }
  for (const auto& task : ledger_.take_stranded(turn.now)) {
    record_lost_task(turn, task);
  }
  for (const auto& changed : repeater_.take_due(turn.now)) {
    const auto engine = engines_.find(changed.id);
    turn.actions.emplace_back(PublishNotification{
        .msg_type = engine ? "registration_notification" : "unregistration_notification",
        .content = engine_content(changed.id, engine ? engine->uuid : changed.uuid)});
  }
  queries_.expire(turn.now, turn.actions);
  questions_.expire(turn.now, turn.actions);
  if (save_due_ <= turn.now) {
    save_engines(turn, true);
  }
}

void HubMachine::check_invariants() const {
  engines_.check_invariants();
  ledger_.check_invariants();
  repeater_.check_invariants();
  IPF_CHECK(ledger_.engine_count() == engines_.active().size());
  for (const auto& [id, uuid] : engines_.active()) {
    IPF_CHECK(ledger_.has_engine(uuid));
  }
  for (const auto& uuid : without_heart_) {
    IPF_CHECK(restored_.contains(uuid));
  }
  for (const auto& uuid : unproven_) {
    IPF_CHECK(restored_.contains(uuid));
  }
  for (const auto& uuid : restored_) {
    IPF_CHECK(engines_.find(std::string_view(uuid)).has_value());
  }
  IPF_CHECK((without_heart_.empty() && unproven_.empty()) ||
            restore_deadline_ != TimePoint::never());
}

}  // namespace ipf
