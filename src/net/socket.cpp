#include "net/socket.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <zmq.h>
#include <zmq.hpp>

#include "net/tcp_listen.hpp"

namespace ipf {

namespace {

int to_zmq(SocketKind kind) {
  switch (kind) {
    case SocketKind::router:
      return ZMQ_ROUTER;
    case SocketKind::dealer:
      return ZMQ_DEALER;
    case SocketKind::pub:
      return ZMQ_PUB;
    case SocketKind::sub:
      return ZMQ_SUB;
    case SocketKind::xpub:
      return ZMQ_XPUB;
  }
  return ZMQ_DEALER;
}

std::string zmq_text() {
  return zmq_strerror(zmq_errno());
}

/// Sends one frame; -1 with errno as libzmq left it.
int send_copy(void* socket, std::string_view bytes, int flags) {
  int sent = 0;
  do {
    sent = zmq_send(socket, bytes.data(), bytes.size(), flags);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

void release_owner(void* /*data*/, void* hint) {
  delete static_cast<std::shared_ptr<const void>*>(hint);
}

/// Hands the bytes to libzmq without copying; their owner lives until they are on the wire.
int send_shared(void* socket, const SharedBytes& bytes, int flags) {
  auto* owner = new std::shared_ptr<const void>(bytes.owner);
  zmq_msg_t message;
  zmq_msg_init_data(&message, const_cast<char*>(bytes.bytes.data()), bytes.bytes.size(),
                    release_owner, owner);
  int sent = 0;
  do {
    sent = zmq_msg_send(&message, socket, flags);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    zmq_msg_close(&message);
  }
  return sent;
}

SendResult failure() {
  return errno == EHOSTUNREACH ? SendResult::unroutable : SendResult::failed;
}

}  // namespace

NetContext::NetContext(int io_threads, const NetLimits& limits)
    : context_(std::make_unique<zmq::context_t>(io_threads)), limits_(limits) {
  context_->set(zmq::ctxopt::max_sockets, 65535);
}
NetContext::~NetContext() = default;

/// Libzmq hangs the peer's address on each part; the last one is kept until the next receive().
struct Socket::LastPart {
  LastPart() { zmq_msg_init(&message); }
  LastPart(const LastPart&) = delete;
  LastPart& operator=(const LastPart&) = delete;
  ~LastPart() { zmq_msg_close(&message); }
  zmq_msg_t message{};
};

Socket::Socket(NetContext& context, SocketKind kind, const SocketOptions& options)
    : socket_(std::make_unique<zmq::socket_t>(context.get(), to_zmq(kind))),
      part_(std::make_unique<LastPart>()) {
  const NetLimits& limits = context.limits();
  socket_->set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(limits.message_bytes_max));
  socket_->set(
      zmq::sockopt::handshake_ivl,
      static_cast<int>(
          std::chrono::duration_cast<std::chrono::milliseconds>(limits.handshake_time).count()));
  socket_->set(zmq::sockopt::sndhwm, options.send_hwm);
  socket_->set(zmq::sockopt::rcvhwm, 0);
  socket_->set(zmq::sockopt::linger, options.linger_ms);
  if (options.dead_after_ms > 0 && kind == SocketKind::router) {
    // The kernel finds dead connections here: heartbeats would make libzmq search the timers of all
    // peers, one after the other, for each that it hears of.
    constexpr int tries = 3;
    const int seconds = std::max(1, options.dead_after_ms / 1000 / (tries + 1));
    socket_->set(zmq::sockopt::tcp_keepalive, 1);
    socket_->set(zmq::sockopt::tcp_keepalive_idle, seconds);
    socket_->set(zmq::sockopt::tcp_keepalive_intvl, seconds);
    socket_->set(zmq::sockopt::tcp_keepalive_cnt, tries);
    socket_->set(zmq::sockopt::tcp_maxrt, options.dead_after_ms);
  } else if (options.dead_after_ms > 0) {
    socket_->set(zmq::sockopt::heartbeat_ivl, options.dead_after_ms / 3);
    socket_->set(zmq::sockopt::heartbeat_timeout, options.dead_after_ms);
    constexpr int connect_timeout_ms = 1000;
    socket_->set(zmq::sockopt::connect_timeout, connect_timeout_ms);
    socket_->set(zmq::sockopt::reconnect_ivl_max, connect_timeout_ms);
  }
  if (!options.identity.empty()) {
    socket_->set(zmq::sockopt::routing_id, options.identity);
  }
  if (kind == SocketKind::router) {
    socket_->set(zmq::sockopt::router_mandatory, options.mandatory ? 1 : 0);
    socket_->set(zmq::sockopt::router_handover, options.handover ? 1 : 0);
  }
  if (limits.curve) {
    const CurveOptions& curve = *limits.curve;
    socket_->set(zmq::sockopt::curve_secretkey, z85_encode(curve.secret_key));
    if (curve.server) {
      socket_->set(zmq::sockopt::curve_server, true);
    } else {
      socket_->set(zmq::sockopt::curve_publickey, z85_encode(curve.public_key));
      socket_->set(zmq::sockopt::curve_serverkey, z85_encode(curve.server_key));
    }
  }
  if (kind == SocketKind::xpub && options.verbose) {
    socket_->set(zmq::sockopt::xpub_verbose, 1);
  }
}

Socket::Socket(Socket&&) noexcept = default;
Socket& Socket::operator=(Socket&&) noexcept = default;
Socket::~Socket() = default;

Result<int> Socket::bind(std::string_view interface, int port) {
  ListeningSocket listening{.fd = -1, .port = port};
  if (interface.starts_with("tcp://")) {
    // Libzmq gets a socket that listens already: AcceptRelief must know its descriptor.
    auto made = listen_tcp(interface, port);
    if (!made) {
      return unexpected(made.error());
    }
    listening = *made;
    listening_.push_back(listening.fd);
  }
  const std::string url = std::string(interface) + ":" + std::to_string(listening.port);
  socket_->set(zmq::sockopt::use_fd, listening.fd);
  const int failed = zmq_bind(socket_->handle(), url.c_str());
  const int why = errno;
  socket_->set(zmq::sockopt::use_fd, -1);
  if (failed != 0) {
    return unexpected(why == EADDRINUSE ? ErrorCode::unavailable : ErrorCode::io,
                      "cannot listen on " + url + ": " + zmq_strerror(why));
  }
  return listening.port;
}

Result<void> Socket::bind_url(const std::string& url) {
  if (zmq_bind(socket_->handle(), url.c_str()) != 0) {
    return unexpected(errno == EADDRINUSE ? ErrorCode::unavailable : ErrorCode::io,
                      "cannot listen on " + url + ": " + zmq_text());
  }
  return {};
}

Result<void> Socket::connect(const std::string& url) {
  if (zmq_connect(socket_->handle(), url.c_str()) != 0) {
    return unexpected(ErrorCode::io, "cannot connect to " + url + ": " + zmq_text());
  }
  return {};
}

void Socket::subscribe_all() {
  socket_->set(zmq::sockopt::subscribe, "");
}

void* Socket::handle() const {
  return socket_->handle();
}

int Socket::event_fd() const {
  return socket_->get(zmq::sockopt::fd);
}

bool Socket::readable() const {
  return (socket_->get(zmq::sockopt::events) & ZMQ_POLLIN) != 0;
}

std::optional<Frames> Socket::receive() {
  zmq_msg_t& part = part_->message;
  bool more = true;
  while (more) {
    // The parts behind the first are there already: libzmq delivers whole messages.
    if (zmq_msg_recv(&part, socket_->handle(), ZMQ_DONTWAIT) < 0) {
      if (errno == EINTR) {
        continue;
      }
      builder_.clear();
      return std::nullopt;
    }
    more = zmq_msg_more(&part) != 0;
    const std::size_t size = zmq_msg_size(&part);
    if (size > Frames::packed_frame_max) {
      auto owner = std::make_shared<zmq::message_t>();
      zmq_msg_move(owner->handle(), &part);
      const std::string_view bytes{static_cast<const char*>(owner->data()), owner->size()};
      builder_.add(SharedBytes{std::move(owner), bytes});
    } else {
      builder_.add(std::string_view{static_cast<const char*>(zmq_msg_data(&part)), size});
    }
  }
  Frames frames = builder_.finish();
  ++traffic_.messages_in;
  traffic_.bytes_in += frames.total_bytes();
  return frames;
}

std::string Socket::sender_address() const {
  const char* address = zmq_msg_gets(&part_->message, "Peer-Address");
  return address == nullptr ? std::string{} : address;
}

SendResult Socket::send(std::span<const std::string_view> first,
                        const Frames& rest,
                        std::size_t from) {
  void* socket = socket_->handle();
  for (std::size_t i = 0; i < first.size(); ++i) {
    const bool more = i + 1 < first.size() || from < rest.size();
    if (send_copy(socket, first[i], ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0) {
      return failure();
    }
  }
  for (std::size_t i = from; i < rest.size(); ++i) {
    const int flags = ZMQ_DONTWAIT | (i + 1 < rest.size() ? ZMQ_SNDMORE : 0);
    const int sent = rest.is_packed(i) ? send_copy(socket, rest[i], flags)
                                       : send_shared(socket, rest.shared(i), flags);
    if (sent < 0) {
      return failure();
    }
  }
  ++traffic_.messages_out;
  traffic_.bytes_out += rest.total_bytes();
  return SendResult::sent;
}

SendResult Socket::send_text(std::string_view text) {
  if (send_copy(socket_->handle(), text, ZMQ_DONTWAIT) < 0) {
    return failure();
  }
  ++traffic_.messages_out;
  traffic_.bytes_out += text.size();
  return SendResult::sent;
}

}  // namespace ipf
