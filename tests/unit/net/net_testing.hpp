#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "core/log.hpp"
#include "net/io_loop.hpp"
#include "net/poller.hpp"
#include "net/socket.hpp"

namespace ipf::test {

/// No wait of a test is longer: a missing message is a failure, not a hang.
inline constexpr Duration patience = std::chrono::seconds(10);

inline constexpr const char* loopback = "tcp://127.0.0.1";

/// The next message; nothing after `longest`.
inline std::optional<Frames> receive(Socket& socket, Duration longest = patience) {
  Poller poller;
  poller.add(socket);
  const TimePoint deadline = steady_now() + longest;
  for (TimePoint now = steady_now(); now < deadline; now = steady_now()) {
    if (auto frames = socket.receive()) {
      return frames;
    }
    poller.wait(now, deadline);
  }
  return socket.receive();
}

inline int bind_any(Socket& socket) {
  const auto port = socket.bind(loopback, 0);
  EXPECT_TRUE(port);
  return port.value_or(0);
}

inline void connect_to(Socket& socket, int port) {
  EXPECT_TRUE(socket.connect(std::string(loopback) + ":" + std::to_string(port)));
}

/// A log that keeps what it is told.
class Lines : public Log {
 public:
  void write(LogLevel /*level*/, std::string_view text) override { all.emplace_back(text); }
  [[nodiscard]] bool enabled(LogLevel /*level*/) const override { return true; }
  std::vector<std::string> all{};
};

/// The loop, the log and the libzmq peers of one socket of our own. `Derived::turn()` does one
/// round of what the socket needs, and waits for a few milliseconds at most.
template <class Derived>
class LoopBench {
 public:
  /// Turns until `condition()`; false if that took too long.
  template <class Condition>
  bool until(Condition condition) {
    const TimePoint deadline = steady_now() + patience;
    while (!condition()) {
      if (steady_now() >= deadline) {
        return false;
      }
      static_cast<Derived*>(this)->turn();
    }
    return true;
  }

  /// The socket under test has to turn while its peer waits.
  std::optional<Frames> peer_receives(Socket& peer) {
    std::optional<Frames> got;
    until([&] { return (got = peer.receive()).has_value(); });
    return got;
  }

  Lines log{};
  IoLoop loop{};
  NetContext context{};
};

}  // namespace ipf::test
