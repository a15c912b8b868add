#include "net/poller.hpp"

#include <chrono>
#include <csignal>
#include <thread>

#include <gtest/gtest.h>

#include "net/signals.hpp"
#include "net/wakeup.hpp"
#include "unit/net/net_testing.hpp"
#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

constexpr Duration ms(int count) {
  return std::chrono::milliseconds(count);
}

/// How long one wait takes.
Duration waited(Poller& poller, TimePoint now, TimePoint deadline) {
  const TimePoint begin = steady_now();
  poller.wait(now, deadline);
  return steady_now() - begin;
}

TEST(Poller, WaitsUntilTheDeadlineAndNotLess) {
  Wakeup quiet;
  Poller poller;
  const auto index = poller.add_fd(quiet.fd());
  for (int i = 0; i < 20; ++i) {
    const TimePoint now = steady_now();
    const TimePoint deadline = now + std::chrono::microseconds(500);  // no whole millisecond
    poller.wait(now, deadline);
    EXPECT_GE(steady_now(), deadline) << "waking early means to spin";
    EXPECT_FALSE(poller.ready(index));
  }
}

TEST(Poller, ADeadlineThatPassedDoesNotWait) {
  Wakeup quiet;
  Poller poller;
  poller.add_fd(quiet.fd());
  const TimePoint now = steady_now();
  EXPECT_LT(waited(poller, now, now), ms(1000));
  EXPECT_LT(waited(poller, now, now + ms(-5000)), ms(1000));
  EXPECT_LT(waited(poller, now, TimePoint{}), ms(1000));
}

TEST(Poller, ASignalFromAnotherThreadEndsAWaitForEver) {
  Wakeup wakeup;
  Poller poller;
  const auto index = poller.add_fd(wakeup.fd());
  const std::jthread other([&] { wakeup.signal(); });
  poller.wait(steady_now(), TimePoint::never());
  EXPECT_TRUE(poller.ready(index));
}

TEST(Poller, TellsWhichOneIsReady) {
  NetContext context;
  Socket router(context, SocketKind::router);
  Socket dealer(context, SocketKind::dealer);
  test::connect_to(dealer, test::bind_any(router));
  Wakeup quiet;
  Poller poller;
  const auto fd = poller.add_fd(quiet.fd());
  const auto socket = poller.add(router);
  dealer.send(test::make_frames({"x"}));
  poller.wait(steady_now(), steady_now() + test::patience);
  EXPECT_TRUE(poller.ready(socket));
  EXPECT_FALSE(poller.ready(fd));
  EXPECT_TRUE(router.receive());
  poller.wait(steady_now(), steady_now());
  EXPECT_FALSE(poller.ready(socket));
}

TEST(Wakeup, ManySignalsAreOneWakeUpAndDrainingEndsIt) {
  Wakeup wakeup;
  Poller poller;
  const auto index = poller.add_fd(wakeup.fd());
  for (int i = 0; i < 1000; ++i) {
    wakeup.signal();
  }
  poller.wait(steady_now(), steady_now());
  EXPECT_TRUE(poller.ready(index));
  wakeup.drain();
  poller.wait(steady_now(), steady_now());
  EXPECT_FALSE(poller.ready(index));
  wakeup.drain();  // with nothing pending it must not wait
}

TEST(SignalFd, GivesThePendingSignalAndThenNone) {
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  block_signals({SIGUSR1, SIGUSR2});
  {
    SignalFd signals({SIGUSR1, SIGUSR2});
    EXPECT_EQ(signals.take(), 0);
    raise(SIGUSR2);
    Poller poller;
    const auto index = poller.add_fd(signals.fd());
    poller.wait(steady_now(), steady_now() + test::patience);
    EXPECT_TRUE(poller.ready(index));
    EXPECT_EQ(signals.take(), SIGUSR2);
    EXPECT_EQ(signals.take(), 0);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
}  // namespace ipf
