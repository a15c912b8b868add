// The small files of a cluster: pid file, connection files, ends of logs.
#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "launcher/connection_files.hpp"
#include "launcher/file_descriptor.hpp"
#include "launcher/log_tail.hpp"
#include "launcher/pid_file.hpp"
#include "unit/launcher/launcher_testing.hpp"

namespace ipf {
namespace {

class LauncherFilesTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_profile(paths)); }
  void write_client_file(int port) {
    test::write_text(paths.client_file(), "{\"interface\": \"tcp://*\", \"registration\": " +
                                              std::to_string(port) + "}");
  }
  test::TemporaryDir dir;
  ProfilePaths paths = dir.profile("x");
};

/// A TCP socket on a free loopback port.
class Listener {
 public:
  Listener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_.get(), 1), 0);
    EXPECT_EQ(getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  [[nodiscard]] int port() const { return port_; }
  void close() { fd_.close(); }

 private:
  FileDescriptor fd_;
  int port_{};
};

TEST_F(LauncherFilesTest, PidFileHoldsThePidWhileItsOwnerLives) {
  {
    const Result<PidFile> file = PidFile::create(paths.pid_file());
    ASSERT_TRUE(file);
    EXPECT_EQ(test::read_text(paths.pid_file()), std::to_string(getpid()) + "\n");
    EXPECT_EQ(PidFile::holder(paths.pid_file()), getpid());
  }
  EXPECT_FALSE(std::filesystem::exists(paths.pid_file()));
  EXPECT_EQ(PidFile::holder(paths.pid_file()), std::nullopt);
}

TEST_F(LauncherFilesTest, SecondPidFileIsRefused) {
  const Result<PidFile> first = PidFile::create(paths.pid_file());
  ASSERT_TRUE(first);
  const Result<PidFile> second = PidFile::create(paths.pid_file());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::unavailable);
  EXPECT_NE(second.error().message.find(std::to_string(getpid())), std::string::npos);
}

TEST_F(LauncherFilesTest, LeftOverPidFileIsNoObstacle) {
  test::write_text(paths.pid_file(), std::to_string(getpid()) + "999\n");
  EXPECT_EQ(PidFile::holder(paths.pid_file()), std::nullopt);
  ASSERT_TRUE(PidFile::create(paths.pid_file()));
}

TEST_F(LauncherFilesTest, StaleConnectionFilesAreRemoved) {
  Listener listener;
  write_client_file(listener.port());
  listener.close();
  test::write_text(paths.engine_file(), "{}");
  ConnectionFiles files(paths, {});
  EXPECT_TRUE(files.ready()) << "old files look ready: that is why they are removed";
  ASSERT_TRUE(files.remove_stale());
  EXPECT_FALSE(files.ready());
  EXPECT_EQ(files.missing(), paths.client_file().string());
  write_client_file(1);
  EXPECT_FALSE(files.ready());
  EXPECT_EQ(files.missing(), paths.engine_file().string());
  test::write_text(paths.engine_file(), "{}");
  EXPECT_TRUE(files.ready());
}

TEST_F(LauncherFilesTest, FilesOfARunningControllerAreKept) {
  const Listener listener;
  write_client_file(listener.port());
  ConnectionFiles files(paths, {});
  const Result<void> removed = files.remove_stale();
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(std::filesystem::exists(paths.client_file()));
}

TEST_F(LauncherFilesTest, ControllerIsKnownByItsLock) {
  EXPECT_FALSE(controller_runs(paths));
  const Result<PidFile> lock = PidFile::create(paths.pid() / "ipcontroller-x.lock");
  ASSERT_TRUE(lock);
  EXPECT_TRUE(controller_runs(paths));
}

TEST_F(LauncherFilesTest, ReusedFilesStayAndAreReadyWithTheOpenPort) {
  int port = 0;
  {
    const Listener once;
    port = once.port();
  }
  write_client_file(port);
  test::write_text(paths.engine_file(), "{}");
  ConnectionFiles files(paths, {"--hwm=0", "--reuse"});
  ASSERT_TRUE(files.remove_stale());
  EXPECT_TRUE(std::filesystem::exists(paths.client_file()));
  EXPECT_FALSE(files.ready());
  const Listener listener;
  write_client_file(listener.port());
  EXPECT_TRUE(files.ready());
  files.remove_left_over();
  EXPECT_TRUE(std::filesystem::exists(paths.client_file()));
}

TEST_F(LauncherFilesTest, DamagedClientFileIsNoController) {
  for (const char* text :
       {"", "{", "[]", R"({"interface": 5, "registration": 80})", R"({"interface": "tcp://*"})",
        R"({"interface": "ipc:///tmp/x", "registration": 80})",
        R"({"interface": "tcp://*", "registration": 99999999})"}) {
    test::write_text(paths.client_file(), text);
    EXPECT_FALSE(controller_runs(paths)) << text;
  }
}

TEST_F(LauncherFilesTest, LastLinesAreCutIndentedAndPrintable) {
  const auto file = dir.path() / "log";
  EXPECT_EQ(last_lines(file, 3), "");
  test::write_text(file, "one\ntwo\nthr\x1b[31mee\nfour");
  EXPECT_EQ(last_lines(file, 2), "    thr?[31mee\n    four");
  test::write_text(file, std::string(1'000'000, 'x') + "\nend\n");
  const std::string end = last_lines(file, 5);
  EXPECT_LT(end.size(), 1000U);
  EXPECT_TRUE(end.ends_with("\n    end"));
}

TEST_F(LauncherFilesTest, RegistrationsAreCountedAsTheyAreWritten) {
  const std::vector<std::filesystem::path> logs{dir.path() / "0", dir.path() / "1"};
  RegistrationLogs counter;
  counter.watch(logs);
  EXPECT_EQ(counter.count(), 0);
  test::write_text(logs[0], "start\n[IPEngine] Completed registr");
  EXPECT_EQ(counter.count(), 0);
  test::write_text(logs[0], "start\n[IPEngine] Completed registration with id 12\n");
  EXPECT_EQ(counter.count(), 1) << "the mark was split between two reads";
  test::write_text(logs[1], "[IPEngine] Completed registration with id 3\nmore");
  EXPECT_EQ(counter.count(), 2);
  EXPECT_EQ(counter.count(), 2);
  EXPECT_EQ(registered_id(logs[0]), 12);
  EXPECT_EQ(registered_id(logs[1]), 3);
  EXPECT_EQ(registered_id(dir.path() / "none"), std::nullopt);
}

}  // namespace
}  // namespace ipf
