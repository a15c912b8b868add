#include "client/client_reactor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "core/log.hpp"
#include "net/address.hpp"
#include "net/io_loop.hpp"
#include "net/loop_sources.hpp"
#include "net/zmtp_connector.hpp"

namespace ipf::client {

namespace {

constexpr std::size_t mailbox_capacity = 65536;
/// Messages taken before what was submitted has its turn.
constexpr int messages_a_turn = 1024;
/// How often the connection file is looked at while the hub does not answer.
constexpr Duration look_interval = std::chrono::milliseconds(500);
/// Time for the last messages to leave when the client is closed.
constexpr Duration linger = std::chrono::seconds(1);

constexpr std::string_view iopub_link = "iopub";
constexpr std::string_view notification_link = "notification";
constexpr std::array<std::pair<std::string_view, Channel>, 5> channel_links{{
    {"query", Channel::query},
    {"mux", Channel::mux},
    {"task", Channel::task},
    {"control", Channel::control},
    {"broadcast", Channel::broadcast},
}};

std::optional<Channel> channel_of(std::string_view link) {
  const auto found =
      std::ranges::find(channel_links, link, &std::pair<std::string_view, Channel>::first);
  return found == channel_links.end() ? std::nullopt : std::optional(found->second);
}

std::string_view link_of(Channel channel) {
  return std::ranges::find(channel_links, channel, &std::pair<std::string_view, Channel>::second)
      ->first;
}

}  // namespace

struct ClientReactor::Network {
  Network(const FoundConnection& connection, const Wakeup& wakeup)
      : links(loop, {.curve = connection.curve}, log), wakeup_waiting(loop, wakeup.fd()) {
    const ConnectionInfo& info = connection.info;
    const auto connect = [&](ZmtpType type, std::string_view name, int port) {
      const auto connected =
          links.connect(type, std::string(name), endpoint_url(connection.interface, port));
      if (!connected) {
        throw ClientError(ClientErrorCode::invalid_argument, connected.error().message);
      }
    };
    // Subscriptions first: they need the longest until they take effect.
    connect(ZmtpType::sub, notification_link, info.notification);
    connect(ZmtpType::sub, iopub_link, info.iopub);
    connect(ZmtpType::dealer, link_of(Channel::query), info.registration);
    connect(ZmtpType::dealer, link_of(Channel::mux), info.mux);
    connect(ZmtpType::dealer, link_of(Channel::task), info.task);
    connect(ZmtpType::dealer, link_of(Channel::control), info.control);
    if (!info.broadcast.empty()) {
      connect(ZmtpType::dealer, link_of(Channel::broadcast), info.broadcast.front());
    }
  }

  NoLog log;
  IoLoop loop;
  ZmtpConnector links;
  LoopFd wakeup_waiting;
};

ClientReactor::ClientReactor(const FoundConnection& connection,
                             ConnectionWatch watch,
                             const ClientLimits& limits,
                             RequestWriter writer,
                             Signer& signer,
                             ResultBoard& board)
    : board_(board),
      signer_(signer),
      watch_(std::move(watch)),
      writer_(std::move(writer)),
      reader_(signer, writer_.msg_id_prefix()),
      machine_({.msg_id_prefix = writer_.msg_id_prefix(),
                .output_bytes_max = limits.output_bytes_max,
                .open_outputs_max = limits.open_outputs_max}),
      network_(std::make_unique<Network>(connection, wakeup_)),
      mailbox_(mailbox_capacity, [this] { wake(); }) {
  thread_ = std::jthread([this](const std::stop_token& stopping) { run(stopping); });
}

ClientReactor::~ClientReactor() {
  stop();
}

bool ClientReactor::submit(NewRequest request) {
  return mailbox_.push(std::move(request));
}

void ClientReactor::wake() {
  if (sleeping_.exchange(false)) {
    wakeup_.signal();
  }
}

void ClientReactor::stop() {
  std::call_once(stopped_, [this] {
    thread_.request_stop();
    wakeup_.signal();
    thread_.join();
  });
}

void ClientReactor::run(const std::stop_token& stopping) {
  try {
    loop(stopping);
  } catch (const std::exception& failure) {
    // Out of memory, or out of file descriptors inside libzmq: nobody may be left waiting.
    close_reason_ = std::string("the input and output of the client failed: ") + failure.what();
  }
  end();
}

void ClientReactor::loop(const std::stop_token& stopping) {
  look_at_ = steady_now() + look_interval;
  machine_.step(steady_now(), Started{}, actions_);
  act();
  while (!ended_ && !stopping.stop_requested()) {
    // Whoever submits after the mailbox was found empty sees `sleeping_` and writes the eventfd.
    sleeping_.store(true);
    mailbox_.take(submitted_);
    TimePoint now = steady_now();
    const bool idle = submitted_.empty() && !network_->links.readable();
    const TimePoint look = answered_ ? TimePoint::never() : look_at_;
    network_->loop.wait(
        now,
        idle ? std::min({machine_.next_deadline(), network_->links.next_deadline(), look}) : now);
    sleeping_.store(false);
    now = steady_now();
    if (network_->wakeup_waiting.take()) {
      wakeup_.drain();
    }
    take_submissions(now);
    receive(now);
    look_for_another(now);
    if (machine_.next_deadline() <= now) {
      machine_.step(now, TimePassed{}, actions_);
    }
    act();
    network_->links.check_deadlines(now);
    network_->links.flush();
  }
}

void ClientReactor::end() {
  board_.close(close_reason_);
  mailbox_.close();
  take_submissions(steady_now());
  mailbox_.take(submitted_);
  take_submissions(steady_now());
  act();
  machine_.step(steady_now(), Closed{close_reason_}, actions_);
  act();
  network_->links.linger(linger);
  network_.reset();
}

void ClientReactor::take_submissions(TimePoint now) {
  for (auto& request : submitted_) {
    if (request.parts.empty()) {
      machine_.step(now, RequestSubmitted{std::move(request)}, actions_);
    } else {
      submit_broadcast(now, request);
    }
  }
  submitted_.clear();
}

void ClientReactor::submit_broadcast(TimePoint now, const NewRequest& request) {
  if (network_ != nullptr) {
    // Before the requests of its parts, which are on their own from here on.
    reader_.expect_broadcast(request.number, request.parts);
    send(request);
  }
  for (const auto& part : request.parts) {
    NewRequest waiting;
    waiting.number = part.number;
    waiting.channel = Channel::broadcast;
    waiting.target = part.target;
    waiting.broadcast = request.number;
    machine_.step(now, RequestSubmitted{std::move(waiting)}, actions_);
  }
}

void ClientReactor::receive(TimePoint now) {
  for (const auto& change : network_->links.take_changes()) {
    on_change(now, change.name, change.up);
  }
  for (int i = 0; i < messages_a_turn; ++i) {
    auto frames = network_->links.receive();
    if (!frames) {
      return;
    }
    const std::string_view link = (*frames)[0];
    if (link == iopub_link) {
      feed(now, reader_.read_output(std::move(*frames)));
    } else if (const auto channel = channel_of(link)) {
      auto reply = reader_.read_reply(*channel, std::move(*frames));
      answered_ = answered_ || (reply && channel == Channel::query);
      feed(now, std::move(reply));
    } else {
      feed(now, reader_.read_notification(std::move(*frames)));
    }
  }
}

void ClientReactor::on_change(TimePoint now, const std::string& link, bool up) {
  const auto channel = channel_of(link);
  if (channel == Channel::query) {
    answered_ = false;
    look_at_ = now + look_interval;
    machine_.step(now, up ? ClientEvent(HubFound{}) : ClientEvent(HubLost{}), actions_);
  } else if (channel && up) {
    send_unanswered(*channel);
  }
}

void ClientReactor::look_for_another(TimePoint now) {
  if (answered_ || now < look_at_) {
    return;
  }
  look_at_ = now + look_interval;
  if (const auto found = watch_.changed()) {
    go_to(now, *found);
  }
}

/// What is outstanding is signed with the new key, and sent when its link is there. The hub may
/// have been silent without being lost: its key was another one.
void ClientReactor::go_to(TimePoint now, const FoundConnection& connection) {
  auto signer = Signer::create(connection.info.key, connection.info.signature_scheme);
  if (!signer) {
    return;
  }
  machine_.step(now, HubLost{}, actions_);
  act();
  signer_ = std::move(*signer);
  for (auto& [number, sent] : unanswered_) {
    sent.frames = signed_by(*Message::split(std::move(sent.frames)), signer_).frames();
  }
  network_ = std::make_unique<Network>(connection, wakeup_);
}

void ClientReactor::feed(TimePoint now, MessageReader::Read read) {
  if (!read) {
    const ErrorCode code = read.error().code;
    const bool unauthentic = code == ErrorCode::bad_signature || code == ErrorCode::replayed;
    ++(unauthentic ? dropped_.unauthentic : dropped_.malformed);
    return;
  }
  if (read->has_value()) {
    machine_.step(now, std::move(**read), actions_);
  }
}

void ClientReactor::act() {
  if (actions_.empty()) {
    return;
  }
  for (const auto& action : actions_) {
    if (const auto* request = std::get_if<SendRequest>(&action)) {
      if (request->request.channel != Channel::broadcast) {
        send(request->request);
      }
    } else if (const auto* complete = std::get_if<CompleteRequest>(&action)) {
      unanswered_.erase(complete->number);
      reader_.end_broadcast_part(complete->number);
    } else if (const auto* fail = std::get_if<FailRequest>(&action)) {
      unanswered_.erase(fail->number);
      reader_.end_broadcast_part(fail->number);
    } else if (const auto* output = std::get_if<EndOutput>(&action)) {
      reader_.end_broadcast_part(output->number);
    } else if (const auto* again = std::get_if<SendAgain>(&action)) {
      send_unanswered_to(again->engine_uuid);
    } else if (const auto* close = std::get_if<CloseClient>(&action)) {
      close_reason_ = close->reason;
      ended_ = true;
    }
  }
  board_.publish(actions_, wall_now());
  actions_.clear();
}

void ClientReactor::send(const NewRequest& request) {
  const std::string_view link = link_of(request.channel);
  Frames frames = writer_.write(request, wall_now());
  if (request.channel == Channel::query || request.channel == Channel::broadcast) {
    network_->links.send(std::array{link}, frames, 0);
    return;
  }
  if (network_->links.is_up(link) && !machine_.is_away(request.target)) {
    network_->links.send(std::array{link}, frames, 0);
  }
  unanswered_.emplace(
      request.number,
      Sent{.channel = request.channel, .target = request.target, .frames = std::move(frames)});
}

template <class Predicate>
void ClientReactor::send_unanswered_if(const Predicate& wanted) {
  std::vector<RequestNumber> numbers;
  for (const auto& [number, sent] : unanswered_) {
    if (wanted(sent)) {
      numbers.push_back(number);
    }
  }
  std::ranges::sort(numbers);
  for (const RequestNumber number : numbers) {
    const Sent& sent = unanswered_.at(number);
    network_->links.send(std::array{link_of(sent.channel)}, sent.frames, 0);
  }
}

void ClientReactor::send_unanswered(Channel channel) {
  send_unanswered_if(
      [&](const Sent& sent) { return sent.channel == channel && !machine_.is_away(sent.target); });
}

void ClientReactor::send_unanswered_to(std::string_view engine_uuid) {
  send_unanswered_if([&](const Sent& sent) {
    return sent.target == engine_uuid && network_->links.is_up(link_of(sent.channel));
  });
}

}  // namespace ipf::client
