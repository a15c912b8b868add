#include "engine/engine_reactor.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "core/check.hpp"
#include "engine/process_tree.hpp"
#include "protocol/json_text.hpp"

namespace ipf::engine {

namespace {

constexpr Duration stream_flush_interval = std::chrono::milliseconds(200);
constexpr Duration stream_retry_interval = std::chrono::milliseconds(1);
constexpr Duration watch_interval = std::chrono::seconds(1);
constexpr Duration rejected_note_interval = std::chrono::seconds(10);
/// As much output past Python goes out at once; the rest waits for the timer or the request's end.
constexpr std::size_t captured_max = 65536;
constexpr std::array<const char*, OutputCapture::streams> stream_names{"stdout", "stderr"};
/// Requests taken before outputs and deadlines have their turn.
constexpr int burst = 64;
/// A request with more bytes than this does not stay in memory just for its header.
constexpr std::size_t head_shares_below = 16384;

constexpr std::string_view ok_content = R"({"status": "ok"})";
constexpr std::string_view aborted_content = R"({"status": "aborted"})";

bool is_comm(std::string_view msg_type) {
  return msg_type.starts_with("comm_") && !msg_type.ends_with("_request");
}

RequestKind kind_of(std::string_view msg_type) {
  if (msg_type == "apply_request") {
    return RequestKind::apply;
  }
  if (msg_type == "execute_request") {
    return RequestKind::execute;
  }
  if (is_comm(msg_type)) {
    return RequestKind::notice;
  }
  return is_shell_inquiry(msg_type) ? RequestKind::inquiry : RequestKind::native;
}

WorkKind work_kind_of(RequestKind kind) {
  return kind == RequestKind::apply     ? WorkKind::apply
         : kind == RequestKind::execute ? WorkKind::execute
                                        : WorkKind::message;
}

/// The connection that a registration_reply describes, completed by what is known already.
Result<ConnectionInfo> complete_connection(const Json& reply, const ConnectionInfo& known) {
  const auto found = reply.find("connection_info");
  if (found == reply.end() || !found->is_object()) {
    return unexpected(ErrorCode::malformed,
                      "the registration reply names no ports; give the connection file");
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
  info["curve_serverkey"] = known.curve_serverkey ? Json(*known.curve_serverkey) : Json(nullptr);
  return parse_connection_info(dump_json(info), PeerRole::engine, "from the registration reply");
}

}  // namespace

EngineReactor::EngineReactor(ReactorOptions options, EngineChannels& channels, Log& log)
    : options_(std::move(options)),
      channels_(channels),
      log_(log),
      machine_(options_.machine),
      kernel_(std::move(options_.kernel)) {
  if (options_.nanny_fd >= 0) {
    nanny_waiting_.emplace(loop_, options_.nanny_fd);
  }
  if (options_.frontend_fd >= 0) {
    frontend_waiting_.emplace(loop_, options_.frontend_fd);
  }
  for (std::size_t i = 0; options_.capture != nullptr && i < OutputCapture::streams; ++i) {
    captured_waiting_[i].emplace(loop_, options_.capture->fd(i));
  }
}

// ---- the loop -----------------------------------------------------------------------------------

int EngineReactor::run() {
  if (kernel_) {
    kernel_->attach(loop_);
    feed(KernelOpened{});
  } else {
    open_link();
    watch_due_ = steady_now() + watch_interval;
    feed(EngineStarted{});
  }
  while (!machine_.left()) {
    poll(next_deadline());
    const TimePoint now = steady_now();
    serve_controller();
    serve_kernel();
    if (captured_is_waiting()) {
      read_captured();
    }
    take_outputs();
    flush_streams(now);
    watch_outside(now);
    if (now >= machine_.next_deadline()) {
      feed(TimePassed{});
    }
    if (link_) {
      link_->check_deadlines(now);
      link_->flush();
    }
  }
  channels_.outputs.close();
  close_link();
  return exit_status_;
}

void EngineReactor::poll(TimePoint deadline) {
  channels_.io_sleeps.store(true);
  // What was pushed before the flag was up has woken nobody.
  channels_.outputs.take(outputs_);
  const TimePoint now = steady_now();
  const bool pending = (link_ && link_->pending()) || (kernel_ && kernel_->pending());
  loop_.wait(now, outputs_.empty() && !pending ? deadline : now);
  channels_.io_sleeps.store(false);
  if (outputs_waiting_.take()) {
    channels_.wakeup.drain();
  }
  perform_outputs(outputs_);
}

bool EngineReactor::captured_is_waiting() {
  bool any = false;
  for (auto& source : captured_waiting_) {
    any = (source && source->take()) || any;
  }
  return any;
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
  if (termination_waiting_.take()) {
    channels_.termination.drain();
    feed(TerminationRequested{.reason = "terminated by a signal"});
  }
  if (nanny_waiting_ && nanny_waiting_->take()) {
    read_nanny();
  }
  if (frontend_waiting_ && frontend_waiting_->take()) {
    frontend_waiting_.reset();
    feed(TerminationRequested{.reason = "the process that started this kernel is gone"});
  }
  if (link_ && link_->came_back()) {
    feed(ConnectionCameBack{});
  }
  if (now < watch_due_) {
    return;
  }
  watch_due_ = now + watch_interval;
  if (options_.watch == nullptr || !(machine_.misses_controller() || !link_->is_up())) {
    return;
  }
  if (auto info = options_.watch->changed()) {
    options_.connection = std::move(*info);
    open_link();
    feed(ConnectionReplaced{});
  }
}

void EngineReactor::read_nanny() {
  std::array<char, 4096> chunk{};
  const ssize_t got = read(options_.nanny_fd, chunk.data(), chunk.size());
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
    nanny_lost_ = true;
    nanny_waiting_.reset();
    feed(TerminationRequested{.reason = "the watching process is gone"});
    return;
  }
  if (got > 0) {
    nanny_lines_.add({chunk.data(), static_cast<std::size_t>(got)});
  }
  while (const auto text = nanny_lines_.take()) {
    if (const NannyLine line = read_nanny_line(*text); line.end) {
      feed(EndOrdered{.reason = *line.end});
    }
  }
}

void EngineReactor::tell_nanny(const std::string& line) const {
  if (options_.nanny_fd >= 0 && !nanny_lost_) {
    [[maybe_unused]] const auto sent =
        send(options_.nanny_fd, line.data(), line.size(), MSG_NOSIGNAL);
  }
}

// ---- receiving ----------------------------------------------------------------------------------

void EngineReactor::open_link() {
  link_.reset();
  connected_ = false;
  link_ = std::make_unique<EngineLink>(options_.connection, options_.curve_keys, options_.uuid,
                                       options_.username, loop_, log_);
  if (machine_.id()) {
    link_->set_id(*machine_.id());
  }
  if (const auto connected = link_->connect_registration(); !connected) {
    log_.error(connected.error().message);
  }
}

void EngineReactor::receive_registration() {
  auto frames = link_->receive_registration();
  if (!frames) {
    return;
  }
  auto message = accept_message(std::move(*frames), link_->signer(), guard_);
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
    const std::string reason = string_or(*content, "evalue", "it gave no reason");
    feed(RegistrationRefused{.reason = printable(reason, 500),
                             .known = reason.find(options_.uuid) != std::string::npos &&
                                      reason.find("in use") != std::string::npos});
    return;
  }
  if (options_.ports_from_reply) {
    auto info = complete_connection(*content, link_->connection());
    if (!info) {
      feed(RegistrationRefused{.reason = info.error().message});
      return;
    }
    link_->set_connection(std::move(*info));
  }
  constexpr std::int64_t default_period_ms = 3000;
  constexpr std::int64_t period_ms_max = 86'400'000;
  std::int64_t period_ms = default_period_ms;
  if (const auto period = content->find("hb_period");
      period != content->end() && period->is_number()) {
    period_ms = std::clamp<std::int64_t>(period->get<std::int64_t>(), 1, period_ms_max);
  }
  feed(RegistrationAccepted{.id = EngineId{id->get<std::int32_t>()},
                            .ping_period = std::chrono::milliseconds(period_ms)});
}

void EngineReactor::receive_pings() {
  while (auto ping = link_->receive_ping()) {
    ping_ = std::move(ping);
    feed(PingArrived{});
  }
}

void EngineReactor::receive_requests() {
  for (int i = 0; i < burst; ++i) {
    auto received = link_->receive();
    if (!received) {
      return;
    }
    on_frames(received->channel, std::move(received->frames));
  }
}

void EngineReactor::on_frames(Channel channel, Frames frames) {
  const Signer& signer = is_kernel(channel) ? kernel_->signer() : link_->signer();
  auto message = verify_message(std::move(frames), signer);
  if (!message) {
    report_rejected(message.error());
  } else if (!guard_.first_sight(message->signature())) {
    on_replay(channel, *message);
  } else {
    on_request(channel, std::move(*message));
  }
}

void EngineReactor::on_replay(Channel channel, const Message& message) {
  const auto header = headers_.read_header(message);
  const Frames* reply =
      header && !is_kernel(channel) ? sent_replies_.find(header->msg_id) : nullptr;
  if (reply != nullptr) {
    link_->reply_again(message, *reply);
    link_->publish_status(message.header(), "idle");  // it may have been lost with the reply
  } else {
    report_rejected({ErrorCode::replayed, "message seen before"});
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
  Pending entry{.channel = channel,
                .msg_type = std::string(msg_type),
                .msg_id = std::string(header->msg_id),
                .head = head()};
  const RequestKind kind = kind_of(msg_type);
  if (is_shell(channel) && !is_control_type(msg_type)) {
    RequestArrived event{.token = token, .kind = kind, .msg_id = entry.msg_id};
    if (kind != RequestKind::native) {
      entry.request = std::move(message);
    }
    pending_.emplace(token.value, std::move(entry));
    feed(event);
    return;
  }
  const auto content = parse_json(message.content());
  ControlArrived event{.token = token};
  event.request =
      content ? decode_control(msg_type, *content)
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
  log_.warning("dropped a message: " + printable(error.message) + " (" + std::to_string(rejected_) +
               " so far)");
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
  publish_captured();
}

void EngineReactor::read_captured() {
  for (std::size_t i = 0; i < OutputCapture::streams; ++i) {
    options_.capture->read(i, captured_[i]);
    if (captured_[i].size() > captured_max) {
      publish_captured();
    }
  }
  on_output(StreamWaiting{});
}

void EngineReactor::publish_captured() {
  for (std::size_t i = 0; i < OutputCapture::streams; ++i) {
    std::string shown;
    captured_allowance_.add(captured_[i], shown);
    captured_[i].clear();
    if (shown.empty()) {
      continue;
    }
    on_output(Published{.msg_type = "stream",
                        .topic = stream_names[i],
                        .content = stream_content(stream_names[i], shown),
                        .parent = work_parent_,
                        .of_kernel = work_of_kernel_});
  }
  if (options_.capture != nullptr) {
    options_.capture->discard(captured_allowance_.used_up());
  }
}

void EngineReactor::on_output(const ShellReady& output) {
  python_version_ = output.python_version;
  debugger_ = output.debugger;
  feed(ShellStarted{});
}

void EngineReactor::on_output(const ShellBroken& /*output*/) {
  feed(ShellFailed{});
}

void EngineReactor::on_output(const StreamWaiting& /*output*/) {
  if (streams_due_ == TimePoint::never()) {
    streams_due_ = steady_now() + stream_flush_interval;
  }
}

void EngineReactor::on_output(const Published& output) {
  if (connected_) {  // else: startup code of an engine that is not registered yet
    publish(output);
  }
}

void EngineReactor::on_output(WorkDone& output) {
  if (options_.capture != nullptr && options_.capture->waiting()) {
    read_captured();
  }
  publish_captured();
  Pending& request = pending(output.token);
  request.content = std::move(output.content);
  request.buffers = std::move(output.buffers);
  const bool failed =
      !request.content.empty() && read_verdict(request.content).status == ReplyStatus::error;
  feed(RequestFinished{.token = output.token,
                       .stops_queue = failed && request.msg_type == "execute_request" &&
                                      stops_on_error(request.head.content()),
                       .failed = failed});
}

void EngineReactor::on_output(const ExitRequested& /*output*/) {
  feed(TerminationRequested{.reason = "user code called exit()"});
}

void EngineReactor::on_output(const MainThreadDone& /*output*/) {
  feed(PythonStopped{});
}

// ---- actions ------------------------------------------------------------------------------------

EngineReactor::Pending& EngineReactor::pending(RequestToken token) {
  const auto found = pending_.find(token.value);
  IPF_CHECK(found != pending_.end());
  return found->second;
}

void EngineReactor::perform(const SendRegistration& action) {
  if (action.new_sockets) {
    link_->renew_hub_sockets();
  }
  Json content{{"uuid", options_.uuid}};
  if (const auto wanted = machine_.id() ? machine_.id() : options_.wanted_id) {
    content["id"] = wanted->value;
  }
  if (!options_.resources.empty()) {
    content["ipyfleet"]["resources"] = options_.resources;
  }
  log_.info("Registering with controller at " + link_->registration_url());
  link_->tell_hub("registration_request", dump_json(content));
}

void EngineReactor::perform(const ConnectSockets& action) {
  if (options_.wanted_id && *options_.wanted_id != action.id) {
    log_.warning("asked for id " + std::to_string(options_.wanted_id->value) + ", got " +
                 std::to_string(action.id.value));
  }
  if (link_) {
    if (link_->is_connected()) {
      link_->set_id(action.id);
    } else if (const auto connected = link_->connect(action.id); !connected) {
      log_.error(connected.error().message);
    }
    tell_nanny(registered_line({.uuid = options_.uuid,
                                .url = link_->registration_url(),
                                .key = link_->connection().key,
                                .scheme = link_->connection().signature_scheme,
                                .curve_serverkey = link_->connection().curve_serverkey,
                                .id = action.id}));
  }
  connected_ = true;
  channels_.queue.admit(action.id);
}

void EngineReactor::perform(const PublishStarting& /*action*/) {
  if (link_) {
    link_->publish_status("{}", "starting");
  }
  if (kernel_) {
    kernel_->publish_status("{}", "starting");
  }
}

void EngineReactor::perform(const AnswerPing& /*action*/) {
  link_->answer_ping(*ping_);
}

void EngineReactor::perform(const PublishBusy& action) {
  Pending& request = pending(action.token);
  if (request.started == WallTime{}) {
    request.started = wall_now();
  }
  publish_status(request, "busy");
}

void EngineReactor::perform(const PublishIdle& action) {
  publish_status(pending(action.token), "idle");
  if (question_ && question_->token == action.token) {
    question_.reset();
  }
  pending_.erase(action.token.value);
}

void EngineReactor::hand_over(RequestToken token, WorkKind kind) {
  publish_captured();
  Pending& request = pending(token);
  request.started = wall_now();
  work_parent_ = request.head.frames().shared(request.head.identity_count() + 2);
  work_of_kernel_ = is_kernel(request.channel);
  captured_allowance_.restart();
  if (options_.capture != nullptr) {
    options_.capture->discard(false);
  }
  channels_.queue.hand_over({.token = token,
                             .kind = kind,
                             .msg_id = request.msg_id,
                             .message = std::move(*request.request),
                             .of_kernel = work_of_kernel_});
  request.request.reset();
}

void EngineReactor::perform(const Execute& action) {
  hand_over(action.token, work_kind_of(kind_of(pending(action.token).msg_type)));
}

void EngineReactor::perform(const Clear& action) {
  hand_over(action.token, WorkKind::clear);
}

void EngineReactor::on_output(ControlAnswered& output) {
  pending(output.token).content = std::move(output.content);
  feed(BesideAnswered{.token = output.token});
}

void EngineReactor::perform(const AskBeside& action) {
  Pending& request = pending(action.token);
  const bool waits =
      channels_.control.push({.token = action.token, .message = std::move(*request.request)});
  request.request.reset();
  if (!waits) {
    request.content = identity().error_content(
        "EngineError", "too many control requests wait for Python", "control");
    feed(BesideAnswered{.token = action.token});
  }
}

void EngineReactor::perform(const SendResult& action) {
  const Pending& request = pending(action.token);
  if (is_comm(request.msg_type)) {
    return;
  }
  const std::string_view content =
      request.content.empty() ? ok_content : std::string_view(request.content);
  const ReplyVerdict verdict = request.content.empty() ? ReplyVerdict{} : read_verdict(content);
  reply(request, content, {.status = verdict.status, .dependencies_met = verdict.dependencies_met},
        request.buffers);
}

void EngineReactor::perform(const SendAborted& action) {
  const Pending& request = pending(action.token);
  reply(request, aborted_content, {.status = ReplyStatus::aborted});
  if (action.moved) {
    guard_.forget(request.head.signature());
    sent_replies_.forget(request.msg_id);
  }
}

void EngineReactor::perform(const SendAnswer& action) {
  const Pending& request = pending(action.token);
  if (request.msg_type == "kernel_info_request") {
    reply(request, kernel_info_content(python_version_, IPF_VERSION, debugger_));
  } else if (request.msg_type == "usage_request") {
    reply(request, usage_.content(steady_now()));
  } else if (request.msg_type == "connect_request") {
    reply(request, connect_content(request.channel));
  } else {
    perform(SendFailure{.token = action.token,
                        .ename = "NotImplementedError",
                        .evalue = "this engine does not answer " + printable(request.msg_type)});
  }
}

void EngineReactor::perform(const SendOk& action) {
  reply(pending(action.token), ok_content);
}

void EngineReactor::perform(const SendFailure& action) {
  const Pending& request = pending(action.token);
  const std::string method = request.msg_type.substr(0, request.msg_type.find('_'));
  reply(request, identity().error_content(action.ename, action.evalue, method),
        {.status = ReplyStatus::error});
}

void EngineReactor::perform(const AnnounceShutdown& action) {
  const Pending& request = pending(action.token);
  const std::string content = dump_json({{"status", "ok"}, {"restart", action.restart}});
  reply(request, content);
  publish({.msg_type = "shutdown_reply",
           .topic = "shutdown",
           .content = content,
           .parent = request.head.frames().shared(request.head.identity_count() + 2),
           .of_kernel = is_kernel(request.channel)});
}

void EngineReactor::reply(const Pending& request,
                          std::string_view content,
                          ReplyFacts facts,
                          const Frames& buffers) {
  facts.started = request.started;
  const ReplyTarget target{
      .channel = request.channel, .msg_type = request.msg_type, .request = request.head};
  if (is_kernel(request.channel)) {
    kernel_->reply(target, facts, content, buffers);
    return;
  }
  Frames sent = link_->reply(target, facts, content, buffers);
  sent_replies_.add(request.msg_id, std::move(sent));
}

void EngineReactor::perform(const SendCancelled& action) {
  reply(pending(action.token), dump_json({{"status", "ok"}, {"outcome", action.outcome}}));
}

void EngineReactor::perform(const Interrupt& /*action*/) {
  channels_.queue.interrupt();
}

void EngineReactor::perform(const RaiseSignal& action) {
  kill(getpid(), action.number);
}

void EngineReactor::perform(const SendUnregistration& action) {
  if (!link_) {
    return;
  }
  Json content{{"id", nullptr}};
  if (action.id) {
    content["id"] = action.id->value;
  }
  link_->tell_hub("unregistration_request", dump_json(content));
  tell_nanny(unregistered_line());
}

void EngineReactor::perform(const StopPython& action) {
  tell_nanny(leaving_line(action.restart));
  channels_.input.close();
  channels_.queue.stop();
}

void EngineReactor::perform(const Leave& action) {
  exit_status_ = action.status;
  if (!action.python_stopped) {
    // Running code holds the main thread: it cannot be waited for, and nothing of it can be saved.
    // What it has started would go on without it.
    kill_descendants(getpid());
    close_link();
    if (options_.capture != nullptr) {
      options_.capture->copy_rest();
    }
    _exit(action.status);
  }
}

void EngineReactor::close_link() {
  pending_.clear();
  sent_replies_.clear();
  link_.reset();  // waits a moment until the last messages are out
  kernel_.reset();
}

void EngineReactor::perform(const Note& action) {
  log_.write(action.level, action.text);
}

}  // namespace ipf::engine
