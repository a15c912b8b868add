#include "engine/fork_client.hpp"

#include <array>
#include <chrono>
#include <functional>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include <gtest/gtest.h>

namespace ipf::engine {
namespace {

constexpr Duration patience = std::chrono::seconds(20);
constexpr Duration no_patience{};

/// A listening fork server of one connection, whose answers are the test's.
class ForkClientTest : public testing::Test {
 protected:
  void SetUp() override {
    auto fd = listen_for_forks(name);
    ASSERT_TRUE(fd) << fd.error().message;
    listening = *fd;
    ASSERT_EQ(pipe(pipe_ends.data()), 0);
    given.fill(pipe_ends[1]);
    got.fill(-1);
  }
  void TearDown() override {
    if (server.joinable()) {
      server.join();
    }
    for (const int fd : {listening, pipe_ends[0], pipe_ends[1]}) {
      close(fd);
    }
    for (const int fd : got) {
      if (fd >= 0) {
        close(fd);
      }
    }
  }
  /// Takes one request; then `answer` is sent and the connection closed.
  void serve(std::string answer) {
    server = std::thread([this, answer = std::move(answer)] {
      pollfd item{listening, POLLIN, 0};
      poll(&item, 1, -1);
      const int nanny = accept4(listening, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      item = {nanny, POLLIN, 0};
      poll(&item, 1, -1);
      same_user = is_same_user(nanny);
      if (auto request = receive_fork_request(nanny, got)) {
        asked = std::move(*request);
        EXPECT_EQ(send(nanny, answer.data(), answer.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(answer.size()));
      }
      close(nanny);
    });
  }

  std::string name{"ipf-test-" + std::to_string(getpid()) + "-" +
                   testing::UnitTest::GetInstance()->current_test_info()->name()};
  int listening{-1};
  std::array<int, 2> pipe_ends{-1, -1};
  ForkDescriptors given{};
  ForkDescriptors got{};
  std::optional<ForkRequest> asked{};
  bool same_user{};
  std::thread server{};
};

TEST_F(ForkClientTest, ARequestArrivesWholeWithItsDescriptors) {
  serve("{\"pid\": 42}\n");
  auto client = ForkClient::connect(name, patience);
  ASSERT_TRUE(client) << client.error().message;
  const ForkRequest request{.arguments = {"--a", "b\nc"},
                            .environment = {"X=" + std::string(500'000, 'x')},
                            .work_dir = "/somewhere",
                            .file = "/file",
                            .generation = 3,
                            .wanted_id = 9};
  const auto pid = client->start(request, given);
  ASSERT_TRUE(pid) << pid.error().message;
  EXPECT_EQ(*pid, 42);
  server.join();
  ASSERT_TRUE(asked);
  EXPECT_TRUE(same_user);
  EXPECT_EQ(asked->arguments, request.arguments);
  EXPECT_EQ(asked->environment, request.environment);
  EXPECT_EQ(asked->work_dir, request.work_dir);
  EXPECT_EQ(asked->file, request.file);
  EXPECT_EQ(asked->generation, 3);
  EXPECT_EQ(asked->wanted_id, 9);
  for (const int fd : got) {
    ASSERT_GE(fd, 0);
    char sent = 'x';
    char back = ' ';
    ASSERT_EQ(write(fd, &sent, 1), 1);
    ASSERT_EQ(read(pipe_ends[0], &back, 1), 1) << "another file";
    EXPECT_EQ(back, sent);
  }
}

TEST_F(ForkClientTest, TheEndOfAnEngineIsToldWithItsStatus) {
  serve("{\"pid\": 42}\n{\"ended\": 5, \"pid\": 41}\n{\"ended\": 139, \"pid\": 42}\n");
  auto client = ForkClient::connect(name, patience);
  ASSERT_TRUE(client);
  ASSERT_TRUE(client->start({}, given));
  EXPECT_EQ(client->end_of(42, patience), 139) << "and not that of an earlier one";
  EXPECT_FALSE(client->end_of(42, patience));
  EXPECT_FALSE(client->usable()) << "the server is gone";
}

TEST_F(ForkClientTest, AnEndBeforeTheAnswerIsAnEarlierEngines) {
  serve("{\"ended\": 0, \"pid\": 42}\n{\"pid\": 43}\n");
  auto client = ForkClient::connect(name, patience);
  ASSERT_TRUE(client);
  EXPECT_EQ(client->start({}, given).value(), 43);
}

TEST_F(ForkClientTest, ARefusalCarriesItsReason) {
  serve("{\"error\": \"no more processes\"}\n");
  auto client = ForkClient::connect(name, patience);
  ASSERT_TRUE(client);
  const auto pid = client->start({}, given);
  ASSERT_FALSE(pid);
  EXPECT_EQ(pid.error().message, "no more processes");
}

TEST_F(ForkClientTest, AServerThatEndsIsNotAskedAgain) {
  serve("");
  auto client = ForkClient::connect(name, patience);
  ASSERT_TRUE(client);
  EXPECT_FALSE(client->start({}, given));
  EXPECT_FALSE(client->usable());
}

TEST_F(ForkClientTest, WithoutAServerThereIsNoClient) {
  EXPECT_FALSE(ForkClient::connect(name + "-another", no_patience));
  EXPECT_FALSE(listen_for_forks(name)) << "two servers of one name";
}

}  // namespace
}  // namespace ipf::engine
