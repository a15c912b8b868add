#include "engine/engine_reactor.hpp"

#include <cerrno>
#include <csignal>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "engine/process_tree.hpp"
#include "engine/registration_reply.hpp"
#include "protocol/json_text.hpp"

namespace ipf::engine {

namespace {

constexpr Duration stream_flush_interval = std::chrono::milliseconds(200);
constexpr Duration stream_retry_interval = std::chrono::milliseconds(1);
constexpr Duration watch_interval = std::chrono::seconds(1);
constexpr Duration rejected_note_interval = std::chrono::seconds(10);
/// Requests taken before outputs and deadlines have their turn.
constexpr int burst = 64;
/// A request with more bytes than this does not stay in memory just for its header.
constexpr std::size_t head_shares_below = 16384;

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

}  // namespace

EngineReactor::EngineReactor(ReactorOptions options, EngineChannels& channels, Log& log)
    : options_(std::move(options)),
      channels_(channels),
      log_(log),
      machine_(options_.machine),
      peers_{.link = {}, .kernel = std::move(options_.kernel)},
      captured_(
          loop_, options_.capture, options_.output_bytes_max, [this](const Published& output) {
            on_output(output);
          }) {
  if (options_.nanny_fd >= 0) {
    nanny_waiting_.emplace(loop_, options_.nanny_fd);
  }
  if (options_.frontend_fd >= 0) {
    frontend_waiting_.emplace(loop_, options_.frontend_fd);
  }
}

// ---- the loop -----------------------------------------------------------------------------------

int EngineReactor::run() {
  if (peers_.kernel) {
    peers_.kernel->attach(loop_);
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
    if (captured_.take_waiting()) {
      captured_.read();
      on_output(StreamWaiting{});
    }
    take_outputs();
    flush_streams(now);
    watch_outside(now);
    if (now >= machine_.next_deadline()) {
      feed(TimePassed{});
    }
    if (peers_.link) {
      peers_.link->check_deadlines(now);
      peers_.link->flush();
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
  const bool pending =
      (peers_.link && peers_.link->pending()) || (peers_.kernel && peers_.kernel->pending());
  loop_.wait(now, outputs_.empty() && !pending ? deadline : now);
  channels_.io_sleeps.store(false);
  if (outputs_waiting_.take()) {
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
  if (peers_.link && peers_.link->came_back()) {
    feed(ConnectionCameBack{});
  }
  if (now < watch_due_) {
    return;
  }
  watch_due_ = now + watch_interval;
  if (options_.watch == nullptr || !(machine_.misses_controller() || !peers_.link->is_up())) {
    return;
  }
  if (auto info = options_.watch->changed()) {
    const ConnectionInfo old = std::exchange(options_.connection, std::move(*info));
    if (old.key != options_.connection.key) {
      guard_.remember_key(Signer::create(old.key, old.signature_scheme).value());
    }
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
  peers_.link.reset();
  connected_ = false;
  peers_.link = std::make_unique<EngineLink>(options_.connection, options_.curve_keys,
                                             options_.uuid, options_.username, loop_, log_);
  if (machine_.id()) {
    peers_.link->set_id(*machine_.id());
  }
  if (const auto connected = peers_.link->connect_registration(); !connected) {
    log_.error(connected.error().message);
  }
}

void EngineReactor::receive_registration() {
  auto frames = peers_.link->receive_registration();
  if (!frames) {
    return;
  }
  const auto message =
      accept_message(std::move(*frames), peers_.link->signer(), guard_.signatures());
  auto reply = message ? read_registration_reply(message->content(), options_.uuid)
                       : Result<RegistrationReply>(unexpected(message.error()));
  if (!reply) {
    report_rejected(reply.error());
    return;
  }
  if (reply->refused) {
    feed(*reply->refused);
    return;
  }
  if (options_.ports_from_reply) {
    auto info = reply->complete(peers_.link->connection());
    if (!info) {
      feed(RegistrationRefused{.reason = info.error().message});
      return;
    }
    peers_.link->set_connection(std::move(*info));
  }
  feed(reply->accepted);
}

void EngineReactor::receive_pings() {
  while (auto ping = peers_.link->receive_ping()) {
    ping_ = std::move(ping);
    feed(PingArrived{});
  }
}

void EngineReactor::receive_requests() {
  for (int i = 0; i < burst; ++i) {
    auto received = peers_.link->receive();
    if (!received) {
      return;
    }
    on_frames(received->channel, std::move(received->frames));
  }
}

void EngineReactor::on_frames(Channel channel, Frames frames) {
  const Signer& signer = is_kernel(channel) ? peers_.kernel->signer() : peers_.link->signer();
  auto message = verify_message(std::move(frames), signer);
  if (!message) {
    report_rejected(message.error());
  } else if (!guard_.first_sight(*message)) {
    on_replay(channel, *message);
  } else {
    on_request(channel, std::move(*message));
  }
}

void EngineReactor::on_replay(Channel channel, const Message& message) {
  const auto header = headers_.read_header(message);
  if (!header || is_kernel(channel) || !desk_.answer_again(header->msg_id, message)) {
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
  RequestDesk::Request entry{.channel = channel,
                             .msg_type = std::string(msg_type),
                             .msg_id = std::string(header->msg_id),
                             .head = head()};
  const RequestKind kind = kind_of(msg_type);
  if (is_shell(channel) && !is_control_type(msg_type)) {
    RequestArrived event{.token = token, .kind = kind, .msg_id = entry.msg_id};
    if (kind != RequestKind::native) {
      entry.request = std::move(message);
    }
    desk_.add(token, std::move(entry));
    feed(event);
    return;
  }
  const auto content = parse_json(message.content());
  ControlArrived event{.token = token};
  event.request =
      content ? decode_control(msg_type, *content)
              : Refusal{.ename = "ValueError", .evalue = "content: " + content.error().message};
  entry.request = std::move(message);
  desk_.add(token, std::move(entry));
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
  captured_.publish();
}

void EngineReactor::on_output(const ShellReady& output) {
  desk_.shell_is_there(output.python_version, output.debugger);
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
    desk_.publish(output);
  }
}

void EngineReactor::on_output(WorkDone& output) {
  captured_.read();
  captured_.publish();
  RequestDesk::Request& request = desk_.at(output.token);
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

void EngineReactor::perform(const SendRegistration& action) {
  if (action.new_sockets) {
    peers_.link->renew_hub_sockets();
  }
  Json content{{"uuid", options_.uuid}};
  if (const auto wanted = machine_.id() ? machine_.id() : options_.wanted_id) {
    content["id"] = wanted->value;
  }
  if (!options_.resources.empty()) {
    content["ipyfleet"]["resources"] = options_.resources;
  }
  log_.info("Registering with controller at " + peers_.link->registration_url());
  peers_.link->tell_hub("registration_request", dump_json(content));
}

void EngineReactor::perform(const ConnectSockets& action) {
  if (options_.wanted_id && *options_.wanted_id != action.id) {
    log_.warning("asked for id " + std::to_string(options_.wanted_id->value) + ", got " +
                 std::to_string(action.id.value));
  }
  if (peers_.link) {
    if (peers_.link->is_connected()) {
      peers_.link->set_id(action.id);
    } else if (const auto connected = peers_.link->connect(action.id); !connected) {
      log_.error(connected.error().message);
    }
    tell_nanny(registered_line({.uuid = options_.uuid,
                                .url = peers_.link->registration_url(),
                                .key = peers_.link->connection().key,
                                .scheme = peers_.link->connection().signature_scheme,
                                .curve_serverkey = peers_.link->connection().curve_serverkey,
                                .id = action.id}));
  }
  connected_ = true;
  channels_.queue.admit(action.id);
}

void EngineReactor::perform(const PublishStarting& /*action*/) {
  if (peers_.link) {
    peers_.link->publish_status("{}", "starting");
  }
  if (peers_.kernel) {
    peers_.kernel->publish_status("{}", "starting");
  }
}

void EngineReactor::perform(const AnswerPing& /*action*/) {
  peers_.link->answer_ping(*ping_);
}

void EngineReactor::perform(const PublishIdle& action) {
  desk_.perform(action);
  if (question_ && question_->token == action.token) {
    question_.reset();
  }
}

void EngineReactor::perform(const SendAborted& action) {
  desk_.perform(action);
  if (action.moved) {
    guard_.forget(desk_.at(action.token).head);
  }
}

void EngineReactor::hand_over(RequestToken token, WorkKind kind) {
  captured_.publish();
  RequestDesk::Request& request = desk_.at(token);
  request.started = wall_now();
  const bool of_kernel = is_kernel(request.channel);
  captured_.begin(request.head.frames().shared(request.head.identity_count() + 2), of_kernel);
  channels_.queue.hand_over({.token = token,
                             .kind = kind,
                             .msg_id = request.msg_id,
                             .message = std::move(*request.request),
                             .of_kernel = of_kernel});
  request.request.reset();
}

void EngineReactor::perform(const Execute& action) {
  hand_over(action.token, work_kind_of(kind_of(desk_.at(action.token).msg_type)));
}

void EngineReactor::perform(const Clear& action) {
  hand_over(action.token, WorkKind::clear);
}

void EngineReactor::on_output(ControlAnswered& output) {
  desk_.at(output.token).content = std::move(output.content);
  feed(BesideAnswered{.token = output.token});
}

void EngineReactor::perform(const AskBeside& action) {
  RequestDesk::Request& request = desk_.at(action.token);
  const bool waits =
      channels_.control.push({.token = action.token, .message = std::move(*request.request)});
  request.request.reset();
  if (!waits) {
    request.content = desk_.identity().error_content(
        "EngineError", "too many control requests wait for Python", "control");
    feed(BesideAnswered{.token = action.token});
  }
}

void EngineReactor::perform(const Interrupt& /*action*/) {
  channels_.queue.interrupt();
}

void EngineReactor::perform(const RaiseSignal& action) {
  kill(getpid(), action.number);
}

void EngineReactor::perform(const SendUnregistration& action) {
  if (!peers_.link) {
    return;
  }
  Json content{{"id", nullptr}};
  if (action.id) {
    content["id"] = action.id->value;
  }
  peers_.link->tell_hub("unregistration_request", dump_json(content));
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
  desk_.clear();
  peers_.link.reset();  // waits a moment until the last messages are out
  peers_.kernel.reset();
}

void EngineReactor::perform(const Note& action) {
  log_.write(action.level, action.text);
}

}  // namespace ipf::engine
