// SimController: the hub's thread, and the checks of both.
#include <utility>

#include "protocol/json_text.hpp"
#include "sim/sim_controller.hpp"
#include "sim/trace.hpp"

namespace ipf::sim {

// ---- in -----------------------------------------------------------------------------------------

void SimController::take_inbox() {
  if (inbox_.empty()) {
    return;
  }
  if (!late_store_.has_room(world_.now())) {
    return wake_at(world_.now() + std::chrono::milliseconds{5}, inbox);
  }
  while (!inbox_.empty()) {
    HubEvent event = std::move(inbox_.front());
    inbox_.pop_front();
    hub_step(std::move(event));
  }
}

void SimController::hub_request(std::uint32_t engine, HubRequest request) {
  take_inbox();  // before questions: their answers must know all that has happened
  hub_step(HubRequestReceived{.request = hub_message(engine_name(engine)),
                              .decoded = std::move(request)});
  arm_timers();
}

void SimController::registration(std::uint32_t engine) {
  peer(engine);
  hub_request(engine, RegistrationRequest{.uuid = engine_name(engine),
                                          .wanted_id = {},
                                          .resources = links_.engine(engine)->capacity()});
}

void SimController::unregistration(std::uint32_t engine, std::int32_t id) {
  hub_request(engine, UnregistrationRequest{.id = EngineId{id}});
}

void SimController::ask_queue_status() {
  hub_request(none, QueueRequest{});
}

void SimController::ask_history() {
  ++asked_;
  hub_request(none, HistoryRequest{});
}

void SimController::pong(std::uint32_t engine, const std::string& text) {
  take_inbox();
  HeartbeatMachine::Events events;
  hearts_->pong(engine_name(engine), text, world_.now(), events);
  if (!events.empty()) {
    tell_hearts(events);
    arm_timers();
  }
}

void SimController::beat() {
  HeartbeatMachine::Events events;
  const std::string ping = hearts_->beat(world_.now(), events);
  if (!ping.empty()) {
    for (std::uint32_t number = 0; number < peers_.size(); ++number) {
      SimEngine* engine = links_.engine(number);
      if (engine != nullptr && engine->alive()) {
        engine->send_ping(ping);
      }
    }
  }
  tell_hearts(events);
}

void SimController::tell_hearts(HeartbeatMachine::Events& events) {
  for (auto& event : events) {
    std::visit([this](auto& concrete) { hub_step(std::move(concrete)); }, event);
  }
}

// ---- out ----------------------------------------------------------------------------------------

void SimController::hub_step(HubEvent event) {
  hub_checker_.see(event);
  HubActions actions = std::move(hub_actions_);
  actions.clear();
  if (!mutation_.active() || mutation_.event(event)) {
    hub_->step(world_.now(), world_.wall(), std::move(event), actions);
  }
  if (hub_->next_deadline() <= world_.now()) {
    throw SimFailure("hub: a deadline is left behind");
  }
  for (auto& action : actions) {
    hub_checker_.see(action);
    std::visit([this](auto& concrete) { perform(concrete); }, action);
  }
  hub_actions_ = std::move(actions);
  hub_checker_.compare(*hub_);
  check_invariants(false);
}

void SimController::post(Command command) {
  commands_.push_back(std::move(command));
  wake_at(world_.now() + world_.options.mailbox_delay, commands);
}

void SimController::perform(SendHubReply& action) {
  if (action.msg_type == "queue_reply") {
    hub_checker_.check_queue_reply(action.content);
  } else if (action.msg_type == "history_reply" || action.msg_type == "hub_error") {
    ++told_;
  } else if (action.msg_type == "registration_reply") {
    const auto engine = engine_number(action.request.identity(0));
    const auto content = parse_json_object(action.content, "registration_reply");
    const bool accepted = content && content->value("status", "") == "ok";
    world_.note(accepted ? "registers" : "is refused", none, engine);
    links_.engine(engine)->send_registration_reply(
        accepted ? std::optional<std::int32_t>(content->value("id", -1)) : std::nullopt);
  }
}

void SimController::perform(AnnounceEngine& action) {
  const auto number = engine_number(action.uuid);
  world_.note("is announced", none, number);
  peer(number);
  direct_.joined(number);
  post(EngineJoined{.uuid = action.uuid, .resources = action.resources});
}

void SimController::perform(RetireEngine& action) {
  const auto number = engine_number(action.uuid);
  world_.note(action.silent ? "is retired, silent" : "is retired", none, number);
  direct_.left(number);
  post(EngineLeft{.uuid = action.uuid, .silent = action.silent});
  if (!action.silent && links_.engine(number)->alive()) {
    links_.engine(number)->send_retired();
  }
}

void SimController::perform(SuspectEngine& action) {
  post(EngineSuspected{.uuid = std::move(action.uuid)});
}

void SimController::perform(TrustEngine& action) {
  post(EngineTrusted{.uuid = std::move(action.uuid)});
}

void SimController::perform(ExpectHeart& action) {
  if (!hearts_->expect(action.uuid, world_.now())) {
    throw SimFailure("heartbeat: no room for another heart");
  }
}

void SimController::perform(ForgetHeart& action) {
  hearts_->forget(action.uuid);
}

void SimController::perform(SaveEngineState& action) {
  saved_engines_ = std::move(action.json_text);
}

// ---- checks -------------------------------------------------------------------------------------

void SimController::check_invariants(bool always) {
  const auto cost = (tasks_->task_count() + 1) * (tasks_->engine_count() + 1);
  const bool turn = ++steps_ % world_.options.invariants_every == 0;
  if (always || (turn && cost <= world_.options.invariant_budget)) {
    tasks_->check_invariants();
    hub_->check_invariants();
    hearts_->check_invariants();
  }
  if (always) {
    store_.check_invariants();
  }
}

void SimController::check_idle() {
  check_invariants(true);
  hub_checker_.compare(*hub_);
  if (hub_->ledger().pending_count() != 0) {
    throw SimFailure("hub: " + std::to_string(hub_->ledger().pending_count()) +
                     " tasks are pending at the end");
  }
  if (asked_ != told_) {
    throw SimFailure("hub: " + std::to_string(told_) + " answers for " + std::to_string(asked_) +
                     " questions to the database");
  }
  direct_.check_idle();
  for (std::uint32_t engine = 0; engine < peers_.size(); ++engine) {
    if (tasks_->load_of(engine_name(engine)) != 0) {
      throw SimFailure("engine " + std::to_string(engine) + " has a slot taken at the end");
    }
  }
}

}  // namespace ipf::sim
