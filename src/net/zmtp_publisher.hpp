#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/result.hpp"
#include "net/io_loop.hpp"
#include "net/socket.hpp"
#include "net/traffic.hpp"
#include "net/zmtp_router.hpp"
#include "protocol/frames.hpp"

namespace ipf {

/// A listening XPUB of our own, beside ZmtpRouter: each message goes to every peer that has
/// subscribed to the beginning of its topic. A peer that does not read loses what comes on top of
/// `unsent_bytes_max`; nobody else notices. One thread: the IoLoop's.
class ZmtpPublisher {
 public:
  static constexpr std::size_t unsent_bytes_max = std::size_t{64} << 20U;
  static constexpr std::size_t subscriptions_max = 1024;  ///< of one peer

  ZmtpPublisher(IoLoop& loop, std::string name, const NetLimits& limits, Log& log);

  /// As ZmtpRouter::bind().
  Result<int> bind(std::string_view interface, int port) { return router_.bind(interface, port); }

  /// Takes up subscriptions that have arrived; how many were new.
  std::size_t take_subscriptions();
  /// Frames [from, size) of `frames`; the first of them is the topic.
  void publish(const Frames& frames, std::size_t from);
  void flush() { router_.flush(); }
  void check_deadlines(TimePoint now) { router_.check_deadlines(now); }
  [[nodiscard]] TimePoint next_deadline() const { return router_.next_deadline(); }
  [[nodiscard]] const Traffic& traffic() const { return router_.traffic(); }

 private:
  ZmtpRouter router_;
  std::unordered_map<std::string, std::vector<std::string>> subscriptions_;  ///< by peer
};

}  // namespace ipf
