#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <gtest/gtest.h>

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

}  // namespace ipf::test
