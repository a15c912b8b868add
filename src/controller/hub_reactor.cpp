#include "controller/hub_reactor.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "controller/status_report.hpp"
#include "core/text.hpp"
#include "protocol/connection_file.hpp"

namespace ipf {

namespace {

constexpr int burst = 256;

/// Sooner than engines give their connections up (engine_link.cpp): the identities of the old ones
/// must be free when they come back.
constexpr int dead_after_ms = 6000;

/// How soon to look again when the store had no room.
constexpr Duration store_pause = std::chrono::milliseconds(5);

/// For a client that does not read; clients read each notification at once.
constexpr int notifications_max = 100'000;

}  // namespace

HubReactor::HubReactor(NetContext& context,
                       const Signer& signer,
                       SeenSignatures& seen,
                       const Options& options,
                       std::unique_ptr<Store> store,
                       Log& log)
    : signer_(signer),
      log_(log),
      engine_state_file_(options.engine_state_file),
      store_(std::move(store)),
      registration_(context, SocketKind::router, {.dead_after_ms = dead_after_ms}),
      notification_(context, SocketKind::pub, {.send_hwm = notifications_max}),
      hb_ping_(context, SocketKind::xpub, {.verbose = true}),
      hb_pong_(context, SocketKind::router, {.dead_after_ms = dead_after_ms}),
      relief_(log),
      inbox_(mailbox_capacity, [this] { wakeup_.signal(); }),
      answers_(options.hub.queries.questions_max + 1, [this] { wakeup_.signal(); }),
      machine_(options.hub, *store_),
      hearts_(options.hearts, steady_now()),
      replays_(seen),
      session_(new_session_id(), user_name(), signer),
      rejections_(log, "hub") {}

Result<void> HubReactor::restore() {
  constexpr std::size_t bytes_max = std::size_t{16} << 20U;
  auto text = read_text_file(engine_state_file_, bytes_max);
  if (!text) {
    return unexpected(text.error());
  }
  now_ = steady_now();
  wall_ = wall_now();
  HubActions actions;
  IPF_TRY(machine_.restore(now_, *text, actions));
  for (auto& action : actions) {
    std::visit([&](auto& concrete) { perform(concrete); }, action);
  }
  return {};
}

void HubReactor::run(const std::stop_token& stop) {
  Poller poller;
  const auto requests = poller.add(registration_);
  const auto pongs = poller.add(hb_pong_);
  const auto subscriptions = poller.add(hb_ping_);
  const auto wakeup = poller.add_fd(wakeup_.fd());
  const auto connecting = poller.add_fd(relief_.fd());
  store_->start([this](StoreAnswered answered) { answers_.push(std::move(answered)); });
  while (!stop.stop_requested()) {
    now_ = steady_now();
    poller.wait(now_, std::min({machine_.next_deadline(), hearts_.next_deadline(), retry_at_,
                                relief_.next_deadline()}));
    now_ = steady_now();
    wall_ = wall_now();
    if (poller.ready(wakeup)) {
      wakeup_.drain();
    }
    if (poller.ready(connecting) || relief_.next_deadline() <= now_) {
      relief_.look(now_);
    }
    take_inbox();  // before questions: their answers must know all that has happened
    if (status_wanted_.exchange(false)) {
      log_.info("status::" + dump_json(status()));
    }
    if (poller.ready(requests)) {
      receive_requests();
    }
    if (poller.ready(pongs)) {
      receive_pongs();
    }
    if (poller.ready(subscriptions)) {
      receive_subscriptions();
    }
    if (hearts_.next_deadline() <= now_) {
      beat();
    }
    if (machine_.next_deadline() <= now_) {
      step(TimePassed{});
    }
    store_->flush();
  }
  take_inbox();  // what passed until now is in the records
  store_->flush();
}

HubReactor::~HubReactor() {
  store_->stop();  // before its answers have nowhere to go
}

// ---- in -----------------------------------------------------------------------------------------

void HubReactor::take_inbox() {
  answers_.take(answered_);
  for (auto& answered : answered_) {
    step(std::move(answered));
  }
  answered_.clear();
  if (!store_->has_room(now_)) {
    retry_at_ = now_ + store_pause;  // the schedulers wait at the full inbox, and so do clients
    return;
  }
  retry_at_ = TimePoint::never();
  inbox_.take(taken_);
  for (auto& event : taken_) {
    step(std::move(event));
  }
  taken_.clear();
}

void HubReactor::receive_requests() {
  for (int i = 0; i < burst; ++i) {
    auto frames = registration_.receive();
    if (!frames) {
      return;
    }
    auto request = accept_message(std::move(*frames), signer_, replays_);
    if (!request || request->identity_count() < 1) {
      rejections_.note(now_, "a request",
                       request ? Error{ErrorCode::malformed, "no identity"} : request.error(),
                       registration_.sender_address());
      continue;
    }
    const auto header = reader_.read_header(*request);
    if (!header) {
      rejections_.note(now_, "a request", header.error(), registration_.sender_address());
      continue;
    }
    const auto content = parse_json_object(request->content(), "content");
    if (header->msg_type == "connection_request") {
      links_.to_relays(ClientConnected{.session = std::string(header->session)});
    }
    DecodedRequest decoded =
        content ? decode_hub_request(header->msg_type, *content)
                : DecodedRequest{RemoteFailure{"ValueError", content.error().message}};
    step(HubRequestReceived{.request = std::move(*request), .decoded = std::move(decoded)});
  }
}

void HubReactor::receive_pongs() {
  HeartbeatMachine::Events events;
  for (int i = 0; i < burst; ++i) {
    const auto frames = hb_pong_.receive();
    if (!frames) {
      break;
    }
    if (frames->size() == 2) {
      hearts_.pong((*frames)[0], (*frames)[1], now_, events);
    }
  }
  tell_hearts(events);
}

void HubReactor::receive_subscriptions() {
  bool new_heart = false;
  while (const auto frames = hb_ping_.receive()) {
    new_heart = new_heart || (frames->size() == 1 && (*frames)[0].starts_with('\1'));
  }
  // A heart that has just subscribed gets its first ping at once: a registration waits for no beat.
  if (new_heart && hearts_.expected_count() > 0) {
    beat();
  }
}

void HubReactor::beat() {
  HeartbeatMachine::Events events;
  const std::string ping = hearts_.beat(now_, events);
  if (!ping.empty()) {
    hb_ping_.send_text(ping);
  }
  tell_hearts(events);
}

void HubReactor::tell_hearts(HeartbeatMachine::Events& events) {
  for (auto& event : events) {
    std::visit([this](auto& concrete) { step(std::move(concrete)); }, event);
  }
  events.clear();
}

// ---- out ----------------------------------------------------------------------------------------

void HubReactor::step(HubEvent event) {
  HubActions actions = std::move(actions_);
  machine_.step(now_, wall_, std::move(event), actions);
  for (auto& action : actions) {
    std::visit([this](auto& concrete) { perform(concrete); }, action);
  }
  actions.clear();
  actions_ = std::move(actions);
}

void HubReactor::perform(SendHubReply& action) {
  const std::array<std::string_view, 1> route{action.request.identity(0)};
  registration_.send(session_.make({.type = action.msg_type,
                                    .parent = action.with_parent ? action.request.header() : "{}",
                                    .content = action.content,
                                    .identities = route,
                                    .buffers = action.buffers},
                                   wall_));
}

void HubReactor::perform(PublishNotification& action) {
  notification_.send(session_.make({.type = action.msg_type,
                                    .parent = action.parent ? action.parent->header() : "{}",
                                    .content = action.content},
                                   wall_));
}

void HubReactor::perform(AnnounceEngine& action) const {
  const EngineAnnounced announced{
      .id = action.id, .uuid = action.uuid, .resources = action.resources};
  links_.to_relays(announced);
  links_.to_tasks(announced);
}

void HubReactor::perform(RetireEngine& action) const {
  const EngineRetired retired{.id = action.id, .uuid = action.uuid, .silent = action.silent};
  links_.to_relays(retired);
  if (!action.silent) {  // else the relay passes it on, behind what it saw the engine begin
    links_.to_tasks(retired);
  }
}

void HubReactor::perform(ExplainTasks& action) const {
  links_.to_tasks(std::move(action));
}

void HubReactor::perform(SuspectEngine& action) const {
  links_.to_tasks(EngineSuspected{.uuid = std::move(action.uuid)});
}

void HubReactor::perform(TrustEngine& action) const {
  links_.to_tasks(EngineTrusted{.uuid = std::move(action.uuid)});
}

void HubReactor::perform(ExpectHeart& action) {
  if (!hearts_.expect(action.uuid, now_)) {
    log_.warning("heartbeat::no room for the heart of engine " + printable(action.uuid));
  }
}

void HubReactor::perform(ForgetHeart& action) {
  hearts_.forget(action.uuid);
}

void HubReactor::perform(ResubmitTask& action) const {
  auto header = parse_json_object(action.original.header(), "header");
  if (!header) {
    return;
  }
  (*header)["msg_id"] = action.new_msg_id;
  (*header)["date"] = to_iso(wall_);
  const std::string header_text = dump_json(*header);
  FramesBuilder builder;
  builder.add(resubmitter);
  builder.add(delimiter);
  builder.add(signer_.sign({.header = header_text,
                            .parent = action.original.parent(),
                            .metadata = action.original.metadata(),
                            .content = action.original.content()}));
  builder.add(header_text);
  builder.add_from(action.original.frames(), action.original.identity_count() + 3);
  if (auto message = Message::split(builder.finish())) {
    links_.to_tasks(ResubmitTask{.new_msg_id = action.new_msg_id, .original = std::move(*message)});
  }
}

void HubReactor::perform(SaveEngineState& action) {
  if (const auto written = write_private_file(engine_state_file_, action.json_text); !written) {
    log_.warning("hub::engine state not saved: " + written.error().message);
  }
}

void HubReactor::perform(StopController& /*action*/) const {
  links_.stop_controller();
}

void HubReactor::perform(ReportStatus& action) {
  Json content = status();
  content["status"] = "ok";
  SendHubReply reply{.request = std::move(action.request),
                     .msg_type = "status_reply",
                     .content = dump_json(content)};
  perform(reply);
}

Json HubReactor::status() const {
  StatusReport report{.uptime = now_ - started_,
                      .process = process_usage(),
                      .hub = machine_.figures(),
                      .store_name = store_->name(),
                      .store = store_->figures(),
                      .queues = links_.queues()};
  report.queues.emplace_back("registration", QueueFigures{.clients = registration_.traffic(),
                                                          .rejected = rejections_.counts()});
  report.queues.emplace_back("notification", QueueFigures{.clients = notification_.traffic()});
  report.queues.emplace_back("heartbeat", QueueFigures{.engines = hb_pong_.traffic()});
  return status_json(report);
}

void HubReactor::perform(WriteLog& action) {
  log_.write(action.level, action.text);
}

}  // namespace ipf
