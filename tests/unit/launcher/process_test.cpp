#include "launcher/process.hpp"

#include <csignal>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "unit/launcher/launcher_testing.hpp"

namespace ipf {
namespace {

using test::read_text;
using test::wait_for;

class ProcessTest : public testing::Test {
 protected:
  /// Runs a program to its end and returns what it wrote.
  std::string output_of(std::vector<std::string> argv,
                        std::vector<EnvironmentChange> environment = {}) {
    Result<Process> process = Process::spawn({.argv = std::move(argv),
                                              .environment = std::move(environment),
                                              .output_file = log,
                                              .work_dir = {}});
    EXPECT_TRUE(process);
    status = wait_for(*process);
    return read_text(log);
  }
  test::TemporaryDir dir;
  std::filesystem::path log = dir.path() / "out.log";
  std::optional<ExitStatus> status;
};

TEST_F(ProcessTest, OutputAndErrorsGoToAPrivateFile) {
  EXPECT_EQ(output_of({"sh", "-c", "echo out; echo err >&2"}), "out\nerr\n");
  EXPECT_EQ(status, (ExitStatus{.code = 0, .signal = 0}));
  struct stat info{};
  ASSERT_EQ(stat(log.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(ProcessTest, OutputIsAppended) {
  output_of({"echo", "first"});
  EXPECT_EQ(output_of({"echo", "second"}), "first\nsecond\n");
}

TEST_F(ProcessTest, ArgumentsAreNeverSeenByAShell) {
  EXPECT_EQ(output_of({"echo", "$HOME; `id`", "a  b", "*"}), "$HOME; `id` a  b *\n");
}

TEST_F(ProcessTest, StandardInputIsEmpty) {
  EXPECT_EQ(output_of({"cat"}), "");
}

TEST_F(ProcessTest, EnvironmentIsInheritedChangedAndCleaned) {
  setenv("IPF_TEST_KEPT", "kept", 1);      // NOLINT(concurrency-mt-unsafe)
  setenv("IPF_TEST_CHANGED", "old", 1);    // NOLINT(concurrency-mt-unsafe)
  setenv("IPF_TEST_REMOVED", "there", 1);  // NOLINT(concurrency-mt-unsafe)
  const std::string text = output_of(
      {"env"},
      {{"IPF_TEST_CHANGED", "new"}, {"IPF_TEST_REMOVED", std::nullopt}, {"IPF_TEST_NEW", ""}});
  EXPECT_NE(text.find("IPF_TEST_KEPT=kept\n"), std::string::npos);
  EXPECT_NE(text.find("IPF_TEST_CHANGED=new\n"), std::string::npos);
  EXPECT_NE(text.find("IPF_TEST_NEW=\n"), std::string::npos);
  EXPECT_EQ(text.find("IPF_TEST_CHANGED=old"), std::string::npos);
  EXPECT_EQ(text.find("IPF_TEST_REMOVED"), std::string::npos);
}

TEST_F(ProcessTest, NoOtherDescriptorIsInherited) {
  const int leaked = open("/dev/null", O_RDONLY);  // without O_CLOEXEC
  ASSERT_GT(leaked, 2);
  EXPECT_EQ(output_of({"ls", "/proc/self/fd"}), "0\n1\n2\n3\n") << "3 is the listing itself";
  close(leaked);
}

TEST_F(ProcessTest, SignalMaskAndHandlersAreReset) {
  sigset_t blocked;
  sigset_t old;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &old);
  const auto old_handler = std::signal(SIGPIPE, SIG_IGN);
  const std::string text = output_of({"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"});
  std::signal(SIGPIPE, old_handler);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  EXPECT_EQ(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(ProcessTest, ChildLeadsASessionOfItsOwn) {
  Result<Process> process = test::spawn_sleeper(dir.path());
  ASSERT_TRUE(process);
  EXPECT_EQ(getsid(process->pid()), process->pid());
  EXPECT_EQ(getpgid(process->pid()), process->pid());
  process->signal(SIGTERM);
  EXPECT_EQ(wait_for(*process), (ExitStatus{.code = 0, .signal = SIGTERM}));
}

TEST_F(ProcessTest, ExitStatusIsKept) {
  output_of({"sh", "-c", "exit 7"});
  EXPECT_EQ(status, (ExitStatus{.code = 7, .signal = 0}));
  EXPECT_EQ(to_text(*status), "exit status 7");
  EXPECT_EQ(to_text({.code = 0, .signal = SIGKILL}), "killed by signal 9 (SIGKILL)");
}

TEST_F(ProcessTest, RunningChildHasNoExitStatus) {
  Result<Process> process = test::spawn_sleeper(dir.path());
  ASSERT_TRUE(process);
  EXPECT_EQ(process->poll(), std::nullopt);
  EXPECT_TRUE(process->group_running());
  process->signal_group(SIGKILL);
  EXPECT_EQ(wait_for(*process), (ExitStatus{.code = 0, .signal = SIGKILL}));
  EXPECT_FALSE(process->group_running());
}

TEST_F(ProcessTest, GroupRunsUntilItsLastMemberEnds) {
  // The shell ends at once and leaves a child in its group.
  Result<Process> process = Process::spawn({.argv = {"sh", "-c", "sleep 600 & exit 0"},
                                            .environment = {},
                                            .output_file = log,
                                            .work_dir = {}});
  ASSERT_TRUE(process);
  EXPECT_TRUE(wait_for(*process)->success());
  EXPECT_TRUE(process->group_running());
  const std::vector<pid_t> members = group_members(process->pid());
  ASSERT_EQ(members.size(), 1U);
  process->signal_group(SIGKILL);
  EXPECT_TRUE(wait_until_gone({{members[0], 0}}, std::chrono::seconds{20}).empty());
  EXPECT_FALSE(process->group_running());
}

TEST_F(ProcessTest, MissingProgramIsNamed) {
  for (const char* program : {"no-such-program", "/no/such/program", "/etc/passwd"}) {
    const Result<Process> process =
        Process::spawn({.argv = {program}, .environment = {}, .output_file = log, .work_dir = {}});
    ASSERT_FALSE(process);
    EXPECT_NE(process.error().message.find(program), std::string::npos) << process.error().message;
  }
}

TEST_F(ProcessTest, MissingDirectoryIsNamed) {
  const Result<Process> process = Process::spawn(
      {.argv = {"true"}, .environment = {}, .output_file = log, .work_dir = dir.path() / "none"});
  ASSERT_FALSE(process);
  EXPECT_NE(process.error().message.find((dir.path() / "none").string()), std::string::npos);
}

TEST_F(ProcessTest, LogFileThatCannotBeOpenedIsNamed) {
  const Result<Process> process = Process::spawn({.argv = {"true"},
                                                  .environment = {},
                                                  .output_file = dir.path() / "no" / "out.log",
                                                  .work_dir = {}});
  ASSERT_FALSE(process);
  EXPECT_NE(process.error().message.find("no/out.log"), std::string::npos);
}

TEST_F(ProcessTest, LogFileIsNeverASymbolicLink) {
  symlink("/dev/null", log.c_str());
  EXPECT_FALSE(
      Process::spawn({.argv = {"true"}, .environment = {}, .output_file = log, .work_dir = {}}));
}

TEST_F(ProcessTest, EmptyCommandIsRefused) {
  const Result<Process> process = Process::spawn({.argv = {}, .output_file = log});
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().code, ErrorCode::invalid_argument);
}

TEST(SignalNames, AreThoseOfTheManual) {
  EXPECT_EQ(signal_name(SIGTERM), "SIGTERM");
  EXPECT_EQ(signal_name(SIGRTMIN + 1), "SIG" + std::to_string(SIGRTMIN + 1));
}

}  // namespace
}  // namespace ipf
