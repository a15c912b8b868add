#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/result.hpp"
#include "net/io_loop.hpp"
#include "net/socket.hpp"
#include "net/traffic.hpp"
#include "net/zmtp_connection.hpp"
#include "protocol/frames.hpp"
#include "protocol/zmtp_session.hpp"

namespace ipf {

/// A listening ROUTER of its own, for the queues through which every task passes: it reads and
/// writes TCP in the thread that owns it, where libzmq hands each message from an IO thread to that
/// thread and back (six thread switches a task, which cost more than all the rest). ZMTP 3.1 with
/// the mechanism NULL or CURVE, so that any libzmq socket may connect.
///
/// Differences to a libzmq ROUTER that matter here:
/// - An identity belongs to the connection that has it. Does another one claim it, the holder has
/// to
///   answer a PING within three seconds: if it does, the claimant is closed, else the holder.
/// - send() to nobody is SendResult::unroutable, always.
/// - A peer that does not read: up to `unsent_bytes_max` wait for it, then it is disconnected; from
///   half of that on, nothing more is read from it (back-pressure to whoever asks for the results).
/// - A peer that is not through its handshake in `handshake_time` is disconnected, and so are peers
///   over `connections_max`. Out of file descriptors, it stops accepting for a second.
///
/// One thread: the IoLoop's. Messages that are sent leave with flush(), which is to be called once
/// a poll round; so a burst to one peer is one system call.
class ZmtpRouter final : private ZmtpHost {
 public:
  struct Options {
    /// `router`, `sub` or `xpub`. A `sub` gets everything that PUBs send; an `xpub` gets
    /// subscriptions (see ZmtpPublisher), and a peer of it that does not read loses messages
    /// instead of its connection. Both name their peers, whatever these call themselves.
    ZmtpType type{ZmtpType::router};
    std::string identity{};
    std::size_t message_bytes_max{std::size_t{4} << 30U};
    std::size_t unsent_bytes_max{std::size_t{2} << 30U};
    std::size_t connections_max{60'000};
    Duration handshake_time{std::chrono::seconds(10)};
    CurvePtr curve{};  ///< of curve_server(): peers have to encrypt

    static Options with(std::string identity, const NetLimits& limits) {
      Options out;
      out.identity = std::move(identity);
      out.message_bytes_max = limits.message_bytes_max;
      out.handshake_time = limits.handshake_time;
      out.curve = limits.curve;
      return out;
    }
  };

  /// `name` begins the log lines; `log` must outlive the router.
  ZmtpRouter(IoLoop& loop, std::string name, const Options& options, Log& log);
  ~ZmtpRouter() override;

  /// Listens on `tcp://ip`, `tcp://*` or `tcp://host`; port 0 takes a free one. Returns the port.
  Result<int> bind(std::string_view interface, int port);

  /// The oldest message that has arrived, `[identity, frames...]`.
  std::optional<Frames> receive();
  [[nodiscard]] bool readable() const { return !inbox_.empty(); }

  /// Sends `first` frames (the first one is the identity), then frames [from, size) of `rest`.
  /// `failed`: an xpub's peer does not read.
  SendResult send(std::span<const std::string_view> first, const Frames& rest, std::size_t from);
  SendResult send(const Frames& frames) { return send({}, frames, 0); }
  void flush() { flush_dirty(); }

  /// Back-pressure: while true, nothing is read from the peers; what was read stays in receive().
  void pause_reading(bool pause);
  /// Likewise for one peer.
  void pause_reading_of(std::string_view identity, bool pause);

  /// Ends handshakes that take too long and accepts again after a pause.
  void check_deadlines(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;

  /// Names that were given to peers without one since the last time it was asked, 10,000 at most.
  std::vector<std::string> take_introduced() { return std::exchange(introduced_, {}); }
  /// Identities with which peers have come since the last time it was asked, 10,000 at most.
  std::vector<std::string> take_named() { return std::exchange(named_, {}); }
  [[nodiscard]] bool has_peer(std::string_view identity) const {
    return by_identity_.contains(identity);
  }
  /// `ip:port` of the peer, empty if it is gone.
  [[nodiscard]] std::string peer_address(std::string_view identity) const;
  [[nodiscard]] std::size_t connection_count() const { return connections_.size(); }
  [[nodiscard]] const Traffic& traffic() const { return traffic_; }

 private:
  class Listener;
  struct IdentityHash {
    using is_transparent = void;  // NOLINT(readability-identifier-naming): the standard's name
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };

  void accept_all(int listening_fd);
  void add_connection(int fd, std::string address);
  void pause_accepting(const char* why);
  /// False when another one has the name: then start() is called when it is free, or the connection
  /// is dropped.
  bool introduce(ZmtpConnection& connection) override;
  void drop(ZmtpConnection& connection, std::string_view why) override;
  /// The holder of an identity that others claim is alive.
  void prove(const ZmtpConnection& holder) override;
  void settle_claims(const std::string& identity);

  const std::string name_;
  const Options options_;
  const ZmtpSession::Options session_options_;
  Log& log_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unordered_map<int, std::unique_ptr<ZmtpConnection>> connections_;
  std::unordered_map<std::string, ZmtpConnection*, IdentityHash, std::equal_to<>> by_identity_;
  std::deque<std::pair<TimePoint, int>> handshakes_;  ///< deadline and fd, oldest first
  std::deque<std::pair<TimePoint, int>> challenges_;  ///< of holders, likewise
  std::unordered_multimap<std::string, ZmtpConnection*> claims_;
  /// Random, so that a name that an earlier controller gave is not somebody else's now.
  std::uint32_t next_name_;
  std::vector<std::string> introduced_;
  Traffic traffic_;
  std::vector<std::string> named_;
  TimePoint accept_again_{TimePoint::never()};
  TimePoint quiet_until_{};
};

}  // namespace ipf
