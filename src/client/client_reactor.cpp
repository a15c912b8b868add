#include "client/client_reactor.hpp"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <utility>
#include <variant>

#include "net/address.hpp"
#include "net/connection_watch.hpp"
#include "net/poller.hpp"
#include "net/socket.hpp"

namespace ipf::client {

namespace {

constexpr std::size_t mailbox_capacity = 65536;
/// Messages taken from one socket before the others get their turn.
constexpr int messages_a_turn = 256;

void connect_to(Socket& socket, const FoundConnection& connection, int port) {
  const auto connected = socket.connect(endpoint_url(connection.interface, port));
  if (!connected) {
    throw ClientError(ClientErrorCode::invalid_argument, connected.error().message);
  }
}

}  // namespace

struct ClientReactor::Network {
  struct Inlet {
    Channel channel{};
    Socket* socket{};
    std::size_t poll_index{};
  };

  Network(const FoundConnection& connection, const Wakeup& wakeup) {
    const ConnectionInfo& info = connection.info;
    // Subscriptions first: they need the longest until they take effect.
    notification.subscribe_all();
    iopub.subscribe_all();
    connect_to(notification, connection, info.notification);
    connect_to(iopub, connection, info.iopub);
    connect_to(query, connection, info.registration);
    connect_to(mux, connection, info.mux);
    connect_to(task, connection, info.task);
    connect_to(control, connection, info.control);
    if (!info.broadcast.empty()) {
      connect_to(broadcast, connection, info.broadcast.front());
    }
    poller.add_fd(wakeup.fd());
    for (const Channel channel :
         {Channel::query, Channel::mux, Channel::task, Channel::broadcast, Channel::control}) {
      Socket& socket = socket_of(channel);
      inlets.push_back({channel, &socket, poller.add(socket)});
    }
    notification_index = poller.add(notification);
    iopub_index = poller.add(iopub);
    mux_watch_index = poller.add(mux_watch);
    task_watch_index = poller.add(task_watch);
  }

  Socket& socket_of(Channel channel) {
    switch (channel) {
      case Channel::query:
        return query;
      case Channel::mux:
        return mux;
      case Channel::task:
        return task;
      case Channel::control:
        return control;
      case Channel::broadcast:
        return broadcast;
    }
    return query;
  }

  NetContext context;
  Socket query{context, SocketKind::dealer};
  Socket mux{context, SocketKind::dealer};
  Socket task{context, SocketKind::dealer};
  Socket control{context, SocketKind::dealer};
  Socket broadcast{context, SocketKind::dealer};
  Socket notification{context, SocketKind::sub};
  Socket iopub{context, SocketKind::sub};
  ConnectionWatch mux_watch{context, mux, "mux"};
  ConnectionWatch task_watch{context, task, "task"};
  Poller poller;
  std::vector<Inlet> inlets;
  std::size_t notification_index{};
  std::size_t iopub_index{};
  std::size_t mux_watch_index{};
  std::size_t task_watch_index{};
};

ClientReactor::ClientReactor(const FoundConnection& connection,
                             const ClientLimits& limits,
                             RequestWriter writer,
                             const Signer& signer,
                             ResultBoard& board)
    : board_(board),
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
  machine_.step(steady_now(), Started{}, actions_);
  act();
  while (!ended_ && !stopping.stop_requested()) {
    // Whoever submits after the mailbox was found empty sees `sleeping_` and writes the eventfd.
    sleeping_.store(true);
    mailbox_.take(submitted_);
    TimePoint now = steady_now();
    network_->poller.wait(now, submitted_.empty() ? machine_.next_deadline() : now);
    sleeping_.store(false);
    now = steady_now();
    wakeup_.drain();
    take_submissions(now);
    receive(now);
    if (machine_.next_deadline() <= now) {
      machine_.step(now, TimePassed{}, actions_);
    }
    act();
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
    machine_.step(now, RequestSubmitted{std::move(waiting)}, actions_);
  }
}

void ClientReactor::receive(TimePoint now) {
  Network& net = *network_;
  for (const auto& inlet : net.inlets) {
    if (net.poller.ready(inlet.poll_index)) {
      for (int i = 0; i < messages_a_turn; ++i) {
        auto frames = inlet.socket->receive();
        if (!frames) {
          break;
        }
        feed(now, reader_.read_reply(inlet.channel, std::move(*frames)));
      }
    }
  }
  if (net.poller.ready(net.mux_watch_index) && net.mux_watch.came_back()) {
    send_unanswered(Channel::mux);
  }
  if (net.poller.ready(net.task_watch_index) && net.task_watch.came_back()) {
    send_unanswered(Channel::task);
  }
  if (net.poller.ready(net.iopub_index)) {
    for (int i = 0; i < messages_a_turn; ++i) {
      auto frames = net.iopub.receive();
      if (!frames) {
        break;
      }
      feed(now, reader_.read_output(std::move(*frames)));
    }
  }
  if (net.poller.ready(net.notification_index)) {
    while (auto frames = net.notification.receive()) {
      feed(now, reader_.read_notification(std::move(*frames)));
    }
  }
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
    } else if (const auto* close = std::get_if<CloseClient>(&action)) {
      close_reason_ = close->reason;
      ended_ = true;
    }
  }
  board_.publish(actions_, wall_now());
  actions_.clear();
}

void ClientReactor::send(const NewRequest& request) {
  // A DEALER without high-water mark takes every message; only a closed context would refuse.
  Frames frames = writer_.write(request, wall_now());
  network_->socket_of(request.channel).send(frames);
  if (request.channel == Channel::mux || request.channel == Channel::task) {
    unanswered_.emplace(request.number,
                        Sent{.channel = request.channel, .frames = std::move(frames)});
  }
}

void ClientReactor::send_unanswered(Channel channel) {
  std::vector<RequestNumber> numbers;
  for (const auto& [number, sent] : unanswered_) {
    if (sent.channel == channel) {
      numbers.push_back(number);
    }
  }
  std::ranges::sort(numbers);
  for (const RequestNumber number : numbers) {
    network_->socket_of(channel).send(unanswered_.at(number).frames);
  }
}

}  // namespace ipf::client
