#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/result.hpp"
#include "net/io_loop.hpp"
#include "net/socket.hpp"
#include "net/zmtp_connection.hpp"
#include "protocol/frames.hpp"
#include "protocol/zmtp_session.hpp"

namespace ipf {

/// The connecting side to ZmtpRouter: links to listening sockets, read and written in the thread
/// that owns them. libzmq would hand each message to a thread of its own and back, which costs a
/// task more than everything else that an engine or a client does for it. ZMTP 3.1 with the
/// mechanism NULL or CURVE over tcp or ipc, so the other end may be any libzmq socket.
///
/// Each link has a name, which is the first frame of what receive() gives and what send() takes. A
/// link that breaks is made again, with growing pauses; what is sent meanwhile waits for it, up to
/// a limit. What was sent before and had not left is lost with the connection, as in the network:
/// take_changes() tells that a link is there again, so that its user can send once more what has no
/// answer.
///
/// One thread: the IoLoop's. Messages leave with flush(), which is to be called once a poll round.
class ZmtpConnector final : private ZmtpHost {
 public:
  struct Options {
    /// Bytes of one message that arrives.
    std::size_t message_bytes_max{std::size_t{4} << 30U};
    /// Bytes that may wait for one peer; if more do, its connection is closed.
    std::size_t unsent_bytes_max{std::size_t{4} << 30U};
    /// Bytes that may wait while a link is down.
    std::size_t held_bytes_max{std::size_t{1} << 30U};
    Duration handshake_time{std::chrono::seconds(10)};
    Duration retry_first{std::chrono::milliseconds(50)};
    Duration retry_longest{std::chrono::seconds(2)};
    /// The first link's peer is asked for a sign of life so often; if it gives none in `proof_time`
    /// all links are made again: the network may swallow everything without a word. 0: never.
    Duration probe_interval{};
    Duration proof_time{std::chrono::seconds(6)};
    CurvePtr curve{};  ///< of curve_client()
  };

  /// `log` must outlive the connector.
  ZmtpConnector(IoLoop& loop, const Options& options, Log& log);
  /// Closes all links; what has not left is lost (see linger()).
  ~ZmtpConnector() override;

  /// A new link to `tcp://host:port` or `ipc://path`. `name` is not empty and not in use;
  /// `identity` is what the peer knows it by. A SUB gets everything; what arrives for a PUB are
  /// subscriptions, and since it sends everything they are not looked at. Fails for an address that
  /// is malformed or cannot be resolved; that nobody listens is no failure.
  Result<void> connect(ZmtpType type,
                       std::string name,
                       const std::string& url,
                       const std::string& identity = {});

  /// The oldest message that has arrived, `[link name, frames...]`.
  std::optional<Frames> receive() { return take_message(); }
  [[nodiscard]] bool readable() const { return !inbox_.empty(); }

  /// Sends `first` frames (the first one is the link's name), then frames [from, size) of `rest`.
  /// `unroutable`: there is no such link; `failed`: too much waits for it already.
  SendResult send(std::span<const std::string_view> first, const Frames& rest, std::size_t from);
  SendResult send(const Frames& frames) { return send({}, frames, 0); }
  void flush() { flush_dirty(); }

  /// Connects again what is due; ends handshakes that take too long.
  void check_deadlines(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;

  struct Change {
    std::string name{};
    bool up{};
  };
  /// Links that were lost, or whose handshake ended, since the last call, in order.
  std::vector<Change> take_changes() { return std::exchange(changes_, {}); }
  [[nodiscard]] bool is_up(std::string_view name) const;
  /// Waits until everything has left that can leave, not longer than `most`.
  void linger(Duration most);

 private:
  struct Link {
    std::string name{};
    std::string url{};
    ZmtpSession::Options session{};
    sockaddr_storage address{};
    socklen_t address_size{};
    std::unique_ptr<ZmtpConnection> connection{};  ///< null while it waits to try again
    bool up{false};
    std::deque<Frames> held{};  ///< what was sent while it was down, its name in front
    std::size_t held_bytes{};
    Duration pause{};
    TimePoint retry_at{TimePoint::never()};
  };

  bool introduce(ZmtpConnection& connection) override;
  void drop(ZmtpConnection& connection, std::string_view why) override;
  void open(Link& link);
  void try_again(Link& link);
  void probe(TimePoint now);
  [[nodiscard]] Link* find(std::string_view name);
  [[nodiscard]] Link& link_of(const ZmtpConnection& connection);

  const Options options_;
  Log& log_;
  std::vector<std::unique_ptr<Link>> links_;  ///< a handful: searched in order
  std::vector<Change> changes_;
  TimePoint probe_at_{TimePoint::never()};
};

}  // namespace ipf
