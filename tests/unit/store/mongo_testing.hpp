#pragma once

#include <array>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace ipf::test {

/// A MongoDB-protocol server of its own (tests/services/mongo), which ends with this object or, by
/// the end of its standard input, with this process.
class MongoServer {
 public:
  MongoServer() { start("0"); }
  ~MongoServer() { stop(); }
  MongoServer(const MongoServer&) = delete;
  MongoServer& operator=(const MongoServer&) = delete;

  /// False where it could not be built: Maven and a JDK are missing (packages-test.txt).
  static bool available() { return !std::string(IPF_MONGO_SERVER).empty(); }
  [[nodiscard]] const std::string& uri() const { return uri_; }

  void stop() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      close(input_);
      pid_ = -1;
    }
  }
  /// Again at the same port, and empty.
  void restart() {
    const auto colon = uri_.rfind(':');
    start(uri_.substr(colon + 1, uri_.size() - colon - 2));
  }

 private:
  void start(const std::string& port) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    ASSERT_EQ(pipe2(in.data(), O_CLOEXEC), 0);
    ASSERT_EQ(pipe2(out.data(), O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions{};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    // scripts/test --full has built the second kind, too.
    const char* ferretdb = std::getenv("IPF_FERRETDB");
    std::array<std::string, 4> words{
        IPF_TESTS_DIR + std::string(ferretdb ? "/services/ferretdb" : "/services/mongo") +
            "/server.sh",
        "run", ferretdb ? ferretdb : IPF_MONGO_SERVER, port};
    std::array<char*, 5> argv{words[0].data(), words[1].data(), words[2].data(), words[3].data(),
                              nullptr};
    ASSERT_EQ(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    input_ = in[1];
    uri_ = line_from(out[0]);
    close(out[0]);
    ASSERT_EQ(uri_.rfind("mongodb://", 0), 0U) << "the server did not start: " << uri_;
  }

  static std::string line_from(int fd) {
    constexpr int patience_ms = 30'000;
    std::string text;
    pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
    char c = 0;
    while (poll(&waiting, 1, patience_ms) > 0 && read(fd, &c, 1) == 1 && c != '\n') {
      text.push_back(c);
    }
    return text;
  }

  pid_t pid_{-1};
  int input_{-1};
  std::string uri_;
};

}  // namespace ipf::test
