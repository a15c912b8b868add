#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "protocol/frames.hpp"

namespace zmq {
class context_t;
class socket_t;
}  // namespace zmq

namespace ipf {

/// The libzmq context: its IO threads, shared by all sockets of a process. Outlives its sockets.
class NetContext {
 public:
  explicit NetContext(int io_threads = 1);
  NetContext(const NetContext&) = delete;
  NetContext& operator=(const NetContext&) = delete;
  ~NetContext();
  [[nodiscard]] zmq::context_t& get() { return *context_; }

 private:
  std::unique_ptr<zmq::context_t> context_;
};

enum class SocketKind { router, dealer, pub, sub, xpub };

struct SocketOptions {
  std::string identity{};
  /// ROUTER only: an unknown destination is reported, not silently dropped.
  bool mandatory{false};
  /// ROUTER that connects only: a peer that comes back takes over its identity from the dead
  /// connection. Never on a socket that listens: there anybody could take over an engine's
  /// identity.
  bool handover{false};
  /// XPUB only: each subscription is reported, not only the first one.
  bool verbose{false};
  /// Time for unsent messages when the socket is closed.
  int linger_ms{1000};
};

enum class SendResult { sent, unroutable, failed };

/// One libzmq socket without high-water marks; used by one thread. Nothing here blocks.
class Socket {
 public:
  Socket(NetContext& context, SocketKind kind, const SocketOptions& options = {});
  Socket(Socket&&) noexcept;
  Socket& operator=(Socket&&) noexcept;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket();

  /// Binds `tcp://ip:port`; port 0 takes a free one. Returns the port.
  Result<int> bind(std::string_view interface, int port);
  Result<void> connect(const std::string& url);
  void subscribe_all();

  /// Takes one message if there is one.
  std::optional<Frames> receive();

  /// Sends `first` frames, then frames [from, size) of `rest`, as one message.
  SendResult send(std::span<const std::string_view> first, const Frames& rest, std::size_t from);
  SendResult send(const Frames& frames) { return send({}, frames, 0); }
  SendResult send_text(std::string_view text);

  [[nodiscard]] void* handle() const;
  /// For an event loop of one's own: see LoopSocket.
  [[nodiscard]] int event_fd() const;
  [[nodiscard]] bool readable() const;

 private:
  std::unique_ptr<zmq::socket_t> socket_;
  FramesBuilder builder_;
};

}  // namespace ipf
