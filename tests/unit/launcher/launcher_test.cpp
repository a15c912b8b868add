#include "launcher/launcher.hpp"

#include <chrono>
#include <csignal>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "launcher/cluster_status.hpp"
#include "unit/launcher/launcher_testing.hpp"

namespace ipf {
namespace {

class LauncherTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_profile(paths)); }
  [[nodiscard]] LaunchOptions options(std::vector<std::string> command) const {
    return {
        .paths = paths, .command = std::move(command), .args = {}, .work_dir = {}, .set_id = "7"};
  }
  /// Ends everything and waits for it; the launcher must see the ends.
  static std::vector<LaunchExit> end(Launcher& launcher) {
    const std::vector<ProcessId> processes = launcher.state().processes;
    EXPECT_TRUE(launcher.stop(StopLevel::kill));
    EXPECT_TRUE(wait_until_gone(processes, std::chrono::seconds{20}).empty());
    std::vector<LaunchExit> ended;
    launcher.poll(ended);
    EXPECT_FALSE(launcher.running());
    return ended;
  }
  test::TemporaryDir dir;
  ProfilePaths paths = dir.profile("x");
};

TEST(LauncherNames, AreShownAsTheirUsersWriteThem) {
  EXPECT_EQ(launcher_label("htcondor"), "HTCondor");
  EXPECT_EQ(launcher_label("MPIExecEngineSetLauncher"), "MPI");
  EXPECT_EQ(launcher_label("somebodys"), "somebodys");
}

TEST_F(LauncherTest, NamesOfIpyparallelAreKnown) {
  for (const char* name : {"local", "Local", "LOCAL", "LocalEngineSetLauncher",
                           "ipyparallel.cluster.launcher.LocalEngineSetLauncher",
                           "ipyparallel.cluster.launcher:LocalEngineSetLauncher"}) {
    const auto launcher = make_launcher(LauncherRole::engines, name, options({"true"}));
    ASSERT_TRUE(launcher) << name;
    EXPECT_EQ((*launcher)->class_name(), "LocalEngineSetLauncher");
  }
  const auto controller =
      make_launcher(LauncherRole::controller, "LocalControllerLauncher", options({"true"}));
  ASSERT_TRUE(controller);
  EXPECT_EQ((*controller)->class_name(), "LocalControllerLauncher");
}

TEST_F(LauncherTest, UnknownNameIsAnErrorWithTheKnownOnes) {
  for (const char* name : {"teleport", "", "launcher", "."}) {
    const auto launcher = make_launcher(LauncherRole::controller, name, options({"true"}));
    ASSERT_FALSE(launcher);
    EXPECT_EQ(launcher.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(launcher.error().message.find("known are: batch, htcondor, local, lsf, mpi, pbs"),
              std::string::npos);
  }
}

TEST_F(LauncherTest, EngineSetRunsAndEnds) {
  const auto launcher = make_launcher(LauncherRole::engines, "local", options({"sleep", "600"}));
  ASSERT_TRUE(launcher);
  Launcher& engines = **launcher;
  EXPECT_FALSE(engines.running());
  EXPECT_TRUE(engines.state().state_json.empty());
  ASSERT_TRUE(engines.start(3));
  EXPECT_TRUE(engines.running());
  const LauncherState state = engines.state();
  EXPECT_EQ(state.engines, 3);
  EXPECT_EQ(state.processes.size(), 3U);
  const auto json = nlohmann::json::parse(state.state_json);
  EXPECT_EQ(json["n"], 3);
  EXPECT_EQ(json["pid"], -1);
  EXPECT_EQ(json["engines"]["2"]["pid"], state.processes[2].pid);
  EXPECT_EQ(json["engines"]["2"]["output_file"], (paths.log() / "ipengine-x-7-2.log").string());
  EXPECT_EQ(end(engines).size(), 3U);
  EXPECT_TRUE(engines.state().state_json.empty());
}

TEST_F(LauncherTest, ExitIsReportedOnceWithItsStatus) {
  const auto launcher =
      make_launcher(LauncherRole::controller, "local", options({"sh", "-c", "exit 5"}));
  ASSERT_TRUE(launcher);
  ASSERT_TRUE((*launcher)->start(1));
  ASSERT_TRUE(wait_until_gone((*launcher)->state().processes, std::chrono::seconds{20}).empty());
  std::vector<LaunchExit> ended;
  (*launcher)->poll(ended);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].status, (ExitStatus{.code = 5, .signal = 0}));
  EXPECT_EQ(ended[0].output_file, (*launcher)->output_files().front());
  (*launcher)->poll(ended);
  EXPECT_EQ(ended.size(), 1U);
}

TEST_F(LauncherTest, GracefulStopIsSigterm) {
  const auto launcher = make_launcher(LauncherRole::engines, "local", options({"sleep", "600"}));
  ASSERT_TRUE(launcher);
  ASSERT_TRUE((*launcher)->start(1));
  const auto processes = (*launcher)->state().processes;
  EXPECT_TRUE((*launcher)->stop(StopLevel::graceful));
  EXPECT_TRUE(wait_until_gone(processes, std::chrono::seconds{20}).empty());
  std::vector<LaunchExit> ended;
  (*launcher)->poll(ended);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].status.signal, SIGTERM);
}

TEST_F(LauncherTest, OneEngineIsSignalledStoppedAndStartedAgain) {
  const auto launcher = make_launcher(LauncherRole::engines, "local", options({"sleep", "600"}));
  ASSERT_TRUE(launcher);
  Launcher& engines = **launcher;
  ASSERT_TRUE(engines.start(3));
  const auto before = engines.state().processes;
  EXPECT_EQ(engines.restart(1).error().code, ErrorCode::unavailable) << "it runs";
  EXPECT_EQ(engines.signal(SIGUSR1, 3).error().code, ErrorCode::not_found);
  ASSERT_TRUE(engines.signal(SIGUSR1, 1));
  ASSERT_TRUE(wait_until_gone({before[1]}, std::chrono::seconds{20}).empty());
  std::vector<LaunchExit> ended;
  engines.poll(ended);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].index, 1);
  EXPECT_EQ(ended[0].status.signal, SIGUSR1);
  const std::uint64_t version = engines.state_version();
  ASSERT_TRUE(engines.restart(1));
  EXPECT_GT(engines.state_version(), version);
  EXPECT_EQ(engines.state().engines, 3);
  ASSERT_TRUE(engines.stop(StopLevel::graceful, 0));
  EXPECT_TRUE(wait_until_gone({before[0]}, std::chrono::seconds{20}).empty());
  EXPECT_EQ(wait_until_gone({before[2]}, Duration{0}).size(), 1U) << "the others run";
  end(engines);
}

TEST_F(LauncherTest, AnotherLauncherTakesOverFromTheState) {
  const auto first = make_launcher(LauncherRole::engines, "local", options({"sleep", "600"}));
  ASSERT_TRUE(first);
  ASSERT_TRUE((*first)->start(2));
  const std::string state = (*first)->state().state_json;
  const auto second = restore_launcher(LauncherRole::engines, "local", state, {});
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ((*second)->state().state_json, state);
  EXPECT_EQ((*second)->output_files(), (*first)->output_files());
  EXPECT_TRUE((*second)->running());
  ASSERT_TRUE((*second)->stop(StopLevel::graceful));
  end(**first);
  std::vector<LaunchExit> ended;
  (*second)->poll(ended);
  ASSERT_EQ(ended.size(), 2U);
  EXPECT_FALSE(ended[0].status.known);
  EXPECT_FALSE((*second)->running());
  const auto late = restore_launcher(LauncherRole::engines, "local", state, {});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::not_found);
}

TEST_F(LauncherTest, DelayStartsOneEngineAfterTheOther) {
  LaunchOptions delayed = options({"sleep", "600"});
  delayed.settings_json = R"({"delay": 0.01})";
  const auto launcher = make_launcher(LauncherRole::engines, "local", delayed);
  ASSERT_TRUE(launcher) << launcher.error().message;
  ASSERT_TRUE((*launcher)->start(3));
  EXPECT_EQ((*launcher)->state().engines, 1);
  std::vector<LaunchExit> ended;
  const TimePoint deadline = steady_now() + std::chrono::seconds{20};
  while ((*launcher)->state().engines < 3 && steady_now() < deadline) {
    EXPECT_LE((*launcher)->poll_step(), std::chrono::milliseconds{10});
    (*launcher)->poll(ended);
  }
  EXPECT_EQ((*launcher)->state().engines, 3);
  EXPECT_EQ(end(**launcher).size(), 3U);
}

TEST_F(LauncherTest, FailedStartNamesTheProgram) {
  const auto launcher =
      make_launcher(LauncherRole::engines, "local", options({"/no/such/ipengine"}));
  ASSERT_TRUE(launcher);
  const Result<void> started = (*launcher)->start(2);
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message.find("/no/such/ipengine"), std::string::npos);
  EXPECT_FALSE((*launcher)->running());
}

TEST_F(LauncherTest, IdentityIsPassedByEnvironmentOnly) {
  LaunchOptions with_args =
      options({"sh", "-c", "echo \"$# $1 $IPP_CLUSTER_ID $IPP_PROFILE_DIR\"", "sh"});
  with_args.args = {"--user=arg"};
  const auto launcher = make_launcher(LauncherRole::controller, "local", with_args);
  ASSERT_TRUE(launcher);
  ASSERT_TRUE((*launcher)->start(1));
  wait_until_gone((*launcher)->state().processes, std::chrono::seconds{20});
  EXPECT_EQ(test::read_text((*launcher)->output_files().front()),
            "1 --user=arg x " + paths.dir.string() + "\n");
}

}  // namespace
}  // namespace ipf
