#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/clock.hpp"
#include "net/zmtp_router.hpp"
#include "protocol/frames.hpp"

namespace ipf {

/// The way back to a client whose connection is not the one that its request came from: it was
/// cut, or the controller was restarted meanwhile. Clients have no name of their own on the wire,
/// but each message bears their session.
///
/// A reply whose connection is gone goes to the one from which the session spoke last; if there is
/// none, to all connections that have not spoken yet (a client ignores replies to what it did not
/// ask) and, for `keep_time`, to those that are made later. It is kept until the session speaks
/// again, up to `kept_bytes_max` for all clients together, the oldest being dropped first: the
/// hub's record stays. One thread.
class ClientRoutes {
 public:
  static constexpr Duration keep_time = std::chrono::seconds(60);
  static constexpr std::size_t kept_bytes_max = std::size_t{256} << 20U;

  /// `restarted`: an earlier controller's clients may be behind connections that have not spoken.
  /// In any other controller such a reply is for a client that has gone, and who connects next must
  /// not get it: an ipyparallel client breaks on a reply that it cannot read.
  explicit ClientRoutes(ZmtpRouter& clients, bool restarted = true)
      : clients_(clients), restarted_(restarted) {}

  /// A verified request came from there.
  void spoke(std::string_view identity, std::string_view session);
  /// A reply whose connection is gone: `first`, then frames [from, size) of `rest`.
  void send_elsewhere(TimePoint now,
                      std::string_view session,
                      std::span<const std::string_view> first,
                      const Frames& rest,
                      std::size_t from);
  /// Connections were made or time passed: once a round.
  void look_around(TimePoint now);
  [[nodiscard]] std::size_t kept_bytes() const { return kept_bytes_; }

 private:
  struct Kept {
    std::string session{};
    Frames frames{};
    TimePoint until{};
    std::vector<std::string> sent_to{};  ///< a second copy would break an ipyparallel client
  };
  void send_once(Kept& kept, const std::string& identity);
  void deliver_kept(const std::string& session, const std::string& identity);
  void forget_gone();

  ZmtpRouter& clients_;
  const bool restarted_;
  std::unordered_map<std::string, std::uint64_t> spoken_;    ///< identity -> hash of its session
  std::unordered_map<std::string, std::string> by_session_;  ///< session -> identity
  std::unordered_set<std::string> silent_;
  std::deque<Kept> kept_;
  std::size_t kept_bytes_{};
  std::string looked_up_;  ///< memory for look-ups
};

}  // namespace ipf
