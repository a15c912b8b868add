#include "net/accept_relief.hpp"

#include <fcntl.h>
#include <functional>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "net/poller.hpp"
#include "unit/net/net_testing.hpp"

namespace ipf {
namespace {

class CountingLog final : public Log {
 public:
  void write(LogLevel /*level*/, std::string_view /*text*/) override { ++lines; }
  [[nodiscard]] bool enabled(LogLevel /*level*/) const override { return true; }
  int lines{0};
};

/// Takes all descriptors but one; gives them back at its end.
class Hoard {
 public:
  Hoard() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit low = before_;
    low.rlim_cur = 128;
    setrlimit(RLIMIT_NOFILE, &low);
    for (int fd = 0; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) {
      taken_.push_back(fd);
    }
  }
  Hoard(const Hoard&) = delete;
  Hoard& operator=(const Hoard&) = delete;
  ~Hoard() {
    for (const int fd : taken_) {
      close(fd);
    }
    setrlimit(RLIMIT_NOFILE, &before_);
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

int connect_plainly(int fd, int port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

struct Bench {
  void look_until(const std::function<bool()>& holds) {
    bool held = false;
    for (const TimePoint end = steady_now() + test::patience; !held && steady_now() < end;) {
      Poller poller;
      poller.add_fd(relief.fd());
      poller.wait(steady_now(), steady_now() + std::chrono::milliseconds(5));
      relief.look(steady_now());
      held = holds();
    }
    EXPECT_TRUE(held);
  }

  NetContext context{};
  CountingLog log{};
  Socket socket{context, SocketKind::router};
  int port{socket.bind("tcp://127.0.0.1", 0).value_or(0)};
  AcceptRelief relief{log};
};

TEST(AcceptRelief, RefusesWhatCannotBeAccepted) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UBSan needs a pipe to look at an object, and there is no descriptor for it";
#endif
  Bench bench;
  bench.relief.watch(bench.socket);
  const int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  {
    const Hoard hoard;
    ASSERT_EQ(connect_plainly(peer, bench.port), 0);
    for (const TimePoint end = steady_now() + test::patience;
         bench.relief.refused_count() == 0 && steady_now() < end;) {
      bench.relief.look(steady_now());
    }
    EXPECT_EQ(bench.relief.refused_count(), 1U);
    EXPECT_EQ(bench.log.lines, 1);
    char byte = 0;
    EXPECT_LE(recv(peer, &byte, 1, 0), 0) << "the peer sees that it was refused";
  }
  close(peer);
}

TEST(AcceptRelief, LeavesNewPeersAloneWhileThereAreDescriptors) {
  Bench bench;
  bench.relief.watch(bench.socket);
  Socket client(bench.context, SocketKind::dealer, {.linger_ms = 0});
  test::connect_to(client, bench.port);
  client.send_text("hello");
  bench.look_until([&] { return bench.socket.receive().has_value(); });
  bench.look_until([&] { return bench.relief.next_deadline() == TimePoint::never(); });
  EXPECT_EQ(bench.relief.refused_count(), 0U);
  EXPECT_EQ(bench.log.lines, 0);
}

}  // namespace
}  // namespace ipf
