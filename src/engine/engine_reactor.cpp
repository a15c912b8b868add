#include "engine/engine_reactor.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "core/check.hpp"
#include "net/address.hpp"
#include "protocol/json_text.hpp"


namespace ipf::engine {

namespace {

constexpr Duration stream_flush_interval = std::chrono::milliseconds(200);
constexpr Duration stream_retry_interval = std::chrono::milliseconds(1);
constexpr Duration watch_interval = std::chrono::seconds(1);
constexpr Duration rejected_note_interval = std::chrono::seconds(10);
/// Time for the last messages to leave when the process ends.
constexpr int linger_ms = 250;
/// Messages taken from one socket before the others have their turn.
constexpr int burst = 64;
/// A request with more bytes than this does not stay in memory just for its header.
constexpr std::size_t head_shares_below = 16384;

constexpr std::string_view busy_content = R"({"execution_state": "busy"})";
constexpr std::string_view idle_content = R"({"execution_state": "idle"})";
constexpr std::string_view starting_content = R"({"execution_state": "starting"})";
constexpr std::string_view ok_content = R"({"status": "ok"})";
constexpr std::string_view aborted_content = R"({"status": "aborted"})";

Signer make_signer(const ConnectionInfo& info) {
  auto signer = Signer::create(info.key, info.signature_scheme);
  IPF_CHECK(signer);  // the scheme was checked when the connection was read
  return std::move(*signer);
}

bool is_comm(std::string_view msg_type) { return msg_type.starts_with("comm_") && !msg_type.ends_with("_request"); }

RequestKind kind_of(std::string_view msg_type) {
  if (msg_type == "apply_request") {
    return RequestKind::apply;
  }
  return msg_type == "execute_request" ? RequestKind::execute : RequestKind::native;
}

/// The connection that a registration_reply describes, completed by what is known already.
Result<ConnectionInfo> complete_connection(const Json& reply, const ConnectionInfo& known) {
  const auto found = reply.find("connection_info");
  if (found == reply.end() || !found->is_object()) {
    return unexpected(ErrorCode::malformed, "the registration reply names no ports; give the connection file");
  }
  Json info = *found;
  for (const auto& [key, value] : {std::pair{"pack", "json"}, {"unpack", "json"}}) {
    if (!info.contains(key)) {
      info[key] = value;
    }
  }
  info["interface"] = known.interface;
  info["registration"] = known.registration;
  info["key"] = known.key;
  info["signature_scheme"] = known.signature_scheme;
  return parse_connection_info(dump_json(info), PeerRole::engine, "from the registration reply");
}

}  // namespace

struct EngineReactor::Connection {
  explicit Connection(const ReactorOptions& options)
      : signer(make_signer(options.connection)), session(options.uuid, options.username, signer) {}
  Signer signer;
  Session session;
};

struct EngineReactor::Sockets {
  NetContext context{};
  std::optional<Socket> registration{};
  std::optional<Socket> shell{};
  std::optional<Socket> control{};
  std::optional<Socket> iopub{};
  std::optional<Socket> ping{};
  std::optional<Socket> pong{};
};

EngineReactor::EngineReactor(ReactorOptions options, EngineChannels& channels, Log& log)
    : options_(std::move(options)), channels_(channels), log_(log), machine_(options_.machine) {}

EngineReactor::~EngineReactor() = default;

std::string EngineReactor::url(int port) const { return endpoint_url(options_.connection.interface, port); }

// ---- the loop -----------------------------------------------------------------------------------

int EngineReactor::run() {
  open_registration();
  watch_due_ = steady_now() + watch_interval;
  feed(EngineStarted{});
  while (!machine_.left()) {
    poll(std::min({machine_.next_deadline(), streams_due_, watch_due_}));
    const TimePoint now = steady_now();
    if (ready(ready_.ping)) {
      receive_pings();
    }
    if (ready(ready_.control)) {
      receive_requests(Channel::control);
    }
    if (ready(ready_.shell)) {
      receive_requests(Channel::shell);
    }
    if (ready(ready_.registration)) {
      receive_registration();
    }
    take_outputs();
    flush_streams(now);
    watch_outside(now);
    if (now >= machine_.next_deadline()) {
      feed(TimePassed{});
    }
  }
  channels_.outputs.close();
  close_sockets();
  return exit_status_;
}

void EngineReactor::build_poller() {
  poller_ = std::make_unique<Poller>();
  ready_ = {};
  poller_->add_fd(channels_.wakeup.fd());
  ready_.termination = poller_->add_fd(channels_.termination.fd());
  if (options_.nanny_fd >= 0 && !nanny_lost_) {
    ready_.nanny = poller_->add_fd(options_.nanny_fd);  // never readable: an error means it is gone
  }
  const auto add = [this](const std::optional<Socket>& socket, std::optional<std::size_t>& index) {
    if (socket) {
      index = poller_->add(*socket);
    }
  };
  add(sockets_->registration, ready_.registration);
  add(sockets_->shell, ready_.shell);
  add(sockets_->control, ready_.control);
  add(sockets_->ping, ready_.ping);
}

bool EngineReactor::ready(std::optional<std::size_t> index) const { return index && poller_->ready(*index); }

void EngineReactor::poll(TimePoint deadline) {
  channels_.io_sleeps.store(true);
  // What was pushed before the flag was up has woken nobody.
  channels_.outputs.take(outputs_);
  const TimePoint now = steady_now();
  poller_->wait(now, outputs_.empty() ? deadline : now);
  channels_.io_sleeps.store(false);
  if (poller_->ready(0)) {
    channels_.wakeup.drain();
  }
  perform_outputs(outputs_);
}

void EngineReactor::feed(const Event& event) {
  machine_.step(steady_now(), event, actions_);
  // Performing may feed again; those actions come behind these.
  for (std::size_t i = 0; i < actions_.size(); ++i) {
    const Action action = std::move(actions_[i]);
    std::visit([this](const auto& known) { perform(known); }, action);
  }
  actions_.clear();
}

void EngineReactor::watch_outside(TimePoint now) {
  if (ready(ready_.termination)) {
    channels_.termination.drain();
    feed(TerminationRequested{.reason = "terminated by a signal"});
  }
  if (ready(ready_.nanny)) {
    nanny_lost_ = true;
    build_poller();
    feed(TerminationRequested{.reason = "the watching process is gone"});
    return;
  }
  if (now < watch_due_) {
    return;
  }
  watch_due_ = options_.watch != nullptr && !identity_ ? now + watch_interval : TimePoint::never();
  if (options_.watch == nullptr || identity_) {
    return;
  }
  if (auto info = options_.watch->changed()) {
    options_.connection = std::move(*info);
    open_registration();
    feed(ConnectionReplaced{});
  }
}

// ---- receiving ----------------------------------------------------------------------------------

void EngineReactor::open_registration() {
  sockets_.reset();
  connection_ = std::make_unique<Connection>(options_);
  sockets_ = std::make_unique<Sockets>();
  sockets_->registration.emplace(sockets_->context, SocketKind::dealer,
                                 SocketOptions{.identity = options_.uuid, .linger_ms = linger_ms});
  if (auto connected = sockets_->registration->connect(url(options_.connection.registration)); !connected) {
    log_.error(connected.error().message);
  }
  build_poller();
}

void EngineReactor::receive_registration() {
  auto frames = sockets_->registration->receive();
  if (!frames) {
    return;
  }
  auto message = accept_message(std::move(*frames), connection_->signer, guard_);
  if (!message) {
    report_rejected(message.error());
    return;
  }
  const auto content = parse_json_object(message->content(), "registration reply");
  if (!content) {
    report_rejected(content.error());
    return;
  }
  const auto id = content->find("id");
  if (string_or(*content, "status") != "ok" || id == content->end() || !id->is_number_integer()) {
    feed(RegistrationRefused{.reason = printable(string_or(*content, "evalue", "it gave no reason"), 500)});
    return;
  }
  if (options_.ports_from_reply) {
    auto info = complete_connection(*content, options_.connection);
    if (!info) {
      feed(RegistrationRefused{.reason = info.error().message});
      return;
    }
    options_.connection = std::move(*info);
  }
  constexpr std::int64_t default_period_ms = 3000;
  constexpr std::int64_t period_ms_max = 86'400'000;
  std::int64_t period_ms = default_period_ms;
  if (const auto period = content->find("hb_period"); period != content->end() && period->is_number()) {
    period_ms = std::clamp<std::int64_t>(period->get<std::int64_t>(), 1, period_ms_max);
  }
  feed(RegistrationAccepted{.id = EngineId{id->get<std::int32_t>()},
                            .ping_period = std::chrono::milliseconds(period_ms)});
}

void EngineReactor::receive_pings() {
  while (auto ping = sockets_->ping->receive()) {
    ping_ = std::move(ping);
    feed(PingArrived{});
  }
}

void EngineReactor::receive_requests(Channel channel) {
  auto& socket = channel == Channel::shell ? sockets_->shell : sockets_->control;
  for (int i = 0; i < burst && socket; ++i) {
    auto frames = socket->receive();
    if (!frames) {
      return;
    }
    auto message = accept_message(std::move(*frames), connection_->signer, guard_);
    if (!message) {
      report_rejected(message.error());
      continue;
    }
    on_request(channel, std::move(*message));
  }
}

void EngineReactor::on_request(Channel channel, Message message) {
  const auto header = headers_.read_header(message);
  if (!header) {
    report_rejected(header.error());
    return;
  }
  const std::string_view msg_type = header->msg_type;
  const RequestToken token{++last_token_};
  const auto head = [&]() -> Message {
    if (message.frames().total_bytes() < head_shares_below) {
      return message;
    }
    for (std::size_t i = 0; i < message.first_buffer(); ++i) {
      head_builder_.add(message.frames().shared(i));
    }
    return std::move(*Message::split(head_builder_.finish()));
  };
  Pending entry{.channel = channel, .msg_type = std::string(msg_type), .head = head()};
  const RequestKind kind = kind_of(msg_type);
  if (channel == Channel::shell && !is_control_type(msg_type) && !is_comm(msg_type)) {
    RequestArrived event{.token = token, .kind = kind, .msg_id = std::string(header->msg_id)};
    if (kind != RequestKind::native) {
      entry.request = std::move(message);
    }
    pending_.emplace(token.value, std::move(entry));
    feed(event);
    return;
  }
  const auto content = parse_json(message.content());
  ControlArrived event{.token = token};
  event.request = content ? decode_control(msg_type, *content)
                          : Refusal{.ename = "ValueError", .evalue = "content: " + content.error().message};
  entry.request = std::move(message);
  pending_.emplace(token.value, std::move(entry));
  feed(event);
}

void EngineReactor::report_rejected(const Error& error) {
  ++rejected_;
  const TimePoint now = steady_now();
  if (now < rejected_note_) {
    return;
  }
  log_.warning("dropped a message: " + printable(error.message) + " (" + std::to_string(rejected_) + " so far)");
  rejected_note_ = now + rejected_note_interval;
}

// ---- what Python says ---------------------------------------------------------------------------

void EngineReactor::take_outputs() {
  channels_.outputs.take(outputs_);
  perform_outputs(outputs_);
}

void EngineReactor::perform_outputs(std::vector<EngineOutput>& outputs) {
  for (auto& output : outputs) {
    std::visit([this](auto& known) { on_output(known); }, output);
  }
  outputs.clear();
}

void EngineReactor::flush_streams(TimePoint now) {
  if (now < streams_due_) {
    return;
  }
  if (!channels_.streams.collect(outputs_)) {
    streams_due_ = now + stream_retry_interval;
    return;
  }
  streams_due_ = TimePoint::never();
  perform_outputs(outputs_);
}

void EngineReactor::on_output(const ShellReady& output) {
  python_version_ = output.python_version;
  feed(ShellStarted{});
}

void EngineReactor::on_output(const ShellBroken& /*output*/) { feed(ShellFailed{}); }

void EngineReactor::on_output(const StreamWaiting& /*output*/) {
  if (streams_due_ == TimePoint::never()) {
    streams_due_ = steady_now() + stream_flush_interval;
  }
}

void EngineReactor::on_output(const Published& output) {
  if (!identity_) {
    return;  // startup code of an engine that is not registered
  }
  const std::string topic = identity_->topic(output.topic);
  const std::array<std::string_view, 1> identities{topic};
  reply_buffers_.clear();
  for (std::size_t i = 0; i < output.buffers.size(); ++i) {
    reply_buffers_.push_back(output.buffers.shared(i));
  }
  sockets_->iopub->send(connection_->session.make(
      {.type = output.msg_type,
       .parent = output.parent.bytes.empty() ? "{}" : output.parent.bytes,
       .metadata = output.metadata,
       .content = output.content,
       .identities = identities,
       .buffers = reply_buffers_},
      wall_now()));
  reply_buffers_.clear();
}

void EngineReactor::on_output(WorkDone& output) {
  Pending& request = pending(output.token);
  request.content = std::move(output.content);
  request.buffers = std::move(output.buffers);
  const bool failed_execute = request.msg_type == "execute_request" && !request.content.empty() &&
                              read_verdict(request.content).status == ReplyStatus::error;
  feed(RequestFinished{.token = output.token,
                       .stops_queue = failed_execute && stops_on_error(request.head.content())});
}

void EngineReactor::on_output(const ExitRequested& /*output*/) {
  feed(TerminationRequested{.reason = "user code called exit()"});
}

void EngineReactor::on_output(const MainThreadDone& /*output*/) { feed(PythonStopped{}); }

// ---- actions ------------------------------------------------------------------------------------

EngineReactor::Pending& EngineReactor::pending(RequestToken token) {
  const auto found = pending_.find(token.value);
  IPF_CHECK(found != pending_.end());
  return found->second;
}

void EngineReactor::perform(const SendRegistration& /*action*/) {
  Json content{{"uuid", options_.uuid}};
  if (options_.wanted_id) {
    content["id"] = options_.wanted_id->value;
  }
  log_.info("Registering with controller at " + url(options_.connection.registration));
  const std::string text = dump_json(content);
  sockets_->registration->send(
      connection_->session.make({.type = "registration_request", .content = text}, wall_now()));
}

void EngineReactor::perform(const ConnectSockets& action) {
  identity_.emplace(options_.uuid, action.id);
  status_topic_ = identity_->topic("status");
  if (options_.wanted_id && *options_.wanted_id != action.id) {
    log_.warning("asked for id " + std::to_string(options_.wanted_id->value) + ", got " +
                 std::to_string(action.id.value));
  }
  const SocketOptions named{.identity = options_.uuid, .handover = true, .linger_ms = linger_ms};
  auto& context = sockets_->context;
  const ConnectionInfo& info = options_.connection;
  const auto connect = [&](std::optional<Socket>& socket, int port) {
    if (auto connected = socket->connect(url(port)); !connected) {
      log_.error(connected.error().message);
    }
  };
  sockets_->shell.emplace(context, SocketKind::router, named);
  connect(sockets_->shell, info.mux);
  if (info.task != 0) {
    connect(sockets_->shell, info.task);
  }
  if (!info.broadcast.empty()) {
    connect(sockets_->shell, info.broadcast[static_cast<std::size_t>(action.id.value) % info.broadcast.size()]);
  }
  sockets_->control.emplace(context, SocketKind::router, named);
  connect(sockets_->control, info.control);
  sockets_->iopub.emplace(context, SocketKind::pub, SocketOptions{.linger_ms = linger_ms});
  connect(sockets_->iopub, info.iopub);
  sockets_->pong.emplace(context, SocketKind::dealer, SocketOptions{.identity = options_.uuid, .linger_ms = 0});
  connect(sockets_->pong, info.hb_pong);
  sockets_->ping.emplace(context, SocketKind::sub, SocketOptions{.linger_ms = 0});
  sockets_->ping->subscribe_all();
  connect(sockets_->ping, info.hb_ping);
  build_poller();
  tell_nanny(action.id);
  channels_.queue.admit(action.id);
}

void EngineReactor::tell_nanny(EngineId id) {
  if (options_.nanny_fd < 0) {
    return;
  }
  const std::string line = dump_json({{"id", id.value},
                                      {"uuid", options_.uuid},
                                      {"url", url(options_.connection.registration)},
                                      {"key", options_.connection.key},
                                      {"scheme", options_.connection.signature_scheme}}) +
                           "\n";
  [[maybe_unused]] const auto written = write(options_.nanny_fd, line.data(), line.size());
}

void EngineReactor::perform(const PublishStarting& /*action*/) { publish_status("{}", starting_content); }

void EngineReactor::perform(const AnswerPing& /*action*/) { sockets_->pong->send(*ping_); }

void EngineReactor::publish_status(std::string_view parent, std::string_view content) {
  const std::array<std::string_view, 1> identities{status_topic_};
  sockets_->iopub->send(connection_->session.make({.type = "status",
                                                   .parent = parent,
                                                   .metadata = identity_->metadata(),
                                                   .content = content,
                                                   .identities = identities},
                                                  wall_now()));
}

void EngineReactor::perform(const PublishBusy& action) {
  Pending& request = pending(action.token);
  if (request.started == WallTime{}) {
    request.started = wall_now();
  }
  publish_status(request.head.header(), busy_content);
}

void EngineReactor::perform(const PublishIdle& action) {
  publish_status(pending(action.token).head.header(), idle_content);
  pending_.erase(action.token.value);
}

void EngineReactor::hand_over(RequestToken token, WorkKind kind) {
  Pending& request = pending(token);
  request.started = wall_now();
  const auto header = headers_.read_header(*request.request);
  channels_.queue.hand_over({.token = token,
                             .kind = kind,
                             .msg_id = header ? std::string(header->msg_id) : std::string(),
                             .message = std::move(*request.request)});
  request.request.reset();
}

void EngineReactor::perform(const Execute& action) {
  hand_over(action.token, pending(action.token).msg_type == "execute_request" ? WorkKind::execute : WorkKind::apply);
}

void EngineReactor::perform(const Clear& action) { hand_over(action.token, WorkKind::clear); }

void EngineReactor::perform(const SendResult& action) {
  const Pending& request = pending(action.token);
  const std::string_view content = request.content.empty() ? ok_content : std::string_view(request.content);
  const ReplyVerdict verdict = request.content.empty() ? ReplyVerdict{} : read_verdict(content);
  reply(request, {.status = verdict.status, .dependencies_met = verdict.dependencies_met}, content, request.buffers);
}

void EngineReactor::perform(const SendAborted& action) {
  reply(pending(action.token), {.status = ReplyStatus::aborted}, aborted_content, {});
}

void EngineReactor::perform(const SendAnswer& action) {
  const Pending& request = pending(action.token);
  if (request.msg_type == "kernel_info_request") {
    reply(request, {}, kernel_info_content(python_version_, IPF_VERSION), {});
  } else if (request.msg_type == "usage_request") {
    reply(request, {}, usage_.content(steady_now()), {});
  } else {
    perform(SendFailure{.token = action.token,
                        .ename = "NotImplementedError",
                        .evalue = "this engine does not answer " + printable(request.msg_type) + " yet"});
  }
}

void EngineReactor::perform(const SendOk& action) { reply(pending(action.token), {}, ok_content, {}); }

void EngineReactor::perform(const SendFailure& action) {
  const Pending& request = pending(action.token);
  const std::string method = request.msg_type.substr(0, request.msg_type.find('_'));
  reply(request, {.status = ReplyStatus::error},
        identity_->error_content(action.ename, action.evalue, method), {});
}

void EngineReactor::perform(const AnnounceShutdown& action) {
  const Pending& request = pending(action.token);
  const std::string content = dump_json({{"status", "ok"}, {"restart", action.restart}});
  reply(request, {}, content, {});
  on_output(Published{.msg_type = "shutdown_reply",
                      .topic = "shutdown",
                      .content = content,
                      .parent = request.head.frames().shared(request.head.identity_count() + 2)});
}

void EngineReactor::reply(const Pending& request, ReplyFacts facts, std::string_view content, const Frames& buffers) {
  facts.started = request.started;
  const Message& head = request.head;
  const std::string metadata = request.channel == Channel::control
                                   ? identity_->metadata()
                                   : identity_->reply_metadata(facts, read_echoed_metadata(head.metadata()));
  identities_.clear();
  for (std::size_t i = 0; i < head.identity_count(); ++i) {
    identities_.push_back(head.identity(i));
  }
  reply_buffers_.clear();
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    reply_buffers_.push_back(buffers.shared(i));
  }
  const std::string type = reply_type(request.msg_type);
  auto& socket = request.channel == Channel::control ? sockets_->control : sockets_->shell;
  socket->send(connection_->session.make({.type = type,
                                          .parent = head.header(),
                                          .metadata = metadata,
                                          .content = content,
                                          .identities = identities_,
                                          .buffers = reply_buffers_},
                                         wall_now()));
  reply_buffers_.clear();
}

void EngineReactor::perform(const Interrupt& /*action*/) { channels_.queue.interrupt(); }

void EngineReactor::perform(const RaiseSignal& action) { kill(getpid(), action.number); }

void EngineReactor::perform(const SendUnregistration& action) {
  Json content{{"id", nullptr}};
  if (action.id) {
    content["id"] = action.id->value;
  }
  const std::string text = dump_json(content);
  sockets_->registration->send(
      connection_->session.make({.type = "unregistration_request", .content = text}, wall_now()));
  if (options_.nanny_fd >= 0 && !nanny_lost_) {
    constexpr std::string_view line = "{\"unregistered\": true}\n";
    [[maybe_unused]] const auto written = write(options_.nanny_fd, line.data(), line.size());
  }
}

void EngineReactor::perform(const StopPython& /*action*/) { channels_.queue.stop(); }

void EngineReactor::perform(const Leave& action) {
  exit_status_ = action.status;
  if (!action.python_stopped) {
    // Running code holds the main thread: it cannot be waited for, and nothing of it can be saved.
    close_sockets();
    _exit(action.status);
  }
}

void EngineReactor::close_sockets() {
  if (sockets_) {
    pending_.clear();
    sockets_.reset();  // waits for at most linger_ms until the last messages are out
  }
}

void EngineReactor::perform(const Note& action) { log_.write(action.level, action.text); }

}  // namespace ipf::engine
