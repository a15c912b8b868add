#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/result.hpp"
#include "net/traffic.hpp"
#include "protocol/curve.hpp"
#include "protocol/frames.hpp"

namespace zmq {
class context_t;
class socket_t;
}  // namespace zmq

namespace ipf {

/// What a peer may cost before anything is known of it, and how it has to encrypt.
struct NetLimits {
  std::size_t message_bytes_max{std::size_t{4} << 30U};  ///< of a frame; a larger one ends the link
  Duration handshake_time{std::chrono::seconds(10)};
  CurvePtr curve{};  ///< of all sockets; nullptr: nothing is encrypted
};

/// The libzmq context: its IO threads, shared by all sockets of a process. Outlives its sockets.
class NetContext {
 public:
  explicit NetContext(int io_threads = 1, const NetLimits& limits = {});
  NetContext(const NetContext&) = delete;
  NetContext& operator=(const NetContext&) = delete;
  ~NetContext();
  [[nodiscard]] zmq::context_t& get() { return *context_; }
  [[nodiscard]] const NetLimits& limits() const { return limits_; }

 private:
  std::unique_ptr<zmq::context_t> context_;
  NetLimits limits_;
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
  /// Messages that wait for one peer at most; what comes on top is dropped for this peer only. 0:
  /// no limit.
  int send_hwm{0};
  /// A peer that is silent for this long (ROUTER: whose host is) is taken for gone; a socket that
  /// connects then tries again, every second. 0: when the kernel gives it up.
  int dead_after_ms{0};
  /// Time for unsent messages when the socket is closed.
  int linger_ms{1000};
};

enum class SendResult { sent, unroutable, failed };

/// One libzmq socket, without high-water marks unless asked for; used by one thread. Nothing here
/// blocks.
class Socket {
 public:
  Socket(NetContext& context, SocketKind kind, const SocketOptions& options = {});
  Socket(Socket&&) noexcept;
  Socket& operator=(Socket&&) noexcept;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket();

  /// Binds `tcp://ip:port`; port 0 takes a free one. Returns the port. Other transports of libzmq
  /// have the port behind a colon, too.
  Result<int> bind(std::string_view interface, int port);
  /// Binds any other address, e.g. `ipc:///path`.
  Result<void> bind_url(const std::string& url);
  Result<void> connect(const std::string& url);
  void subscribe_all();
  /// Of the TCP ports that it is bound to; libzmq's, so not to be closed.
  [[nodiscard]] const std::vector<int>& listening_fds() const { return listening_; }

  /// Takes one message if there is one.
  std::optional<Frames> receive();

  /// Sends `first` frames, then frames [from, size) of `rest`, as one message.
  SendResult send(std::span<const std::string_view> first, const Frames& rest, std::size_t from);
  SendResult send(const Frames& frames) { return send({}, frames, 0); }
  SendResult send_text(std::string_view text);

  [[nodiscard]] void* handle() const;
  /// `ip:port` of the sender of the last message that receive() gave, empty if it is not known.
  [[nodiscard]] std::string sender_address() const;
  /// Messages and their bytes; a publisher's count once, however many subscribers there are.
  [[nodiscard]] const Traffic& traffic() const { return traffic_; }

  /// For an event loop of one's own: see LoopReceiver.
  [[nodiscard]] int event_fd() const;
  [[nodiscard]] bool readable() const;

 private:
  std::unique_ptr<zmq::socket_t> socket_;
  FramesBuilder builder_;
  Traffic traffic_;
  std::vector<int> listening_;
  struct LastPart;
  std::unique_ptr<LastPart> part_;
};

}  // namespace ipf
