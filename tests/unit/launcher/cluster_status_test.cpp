#include "launcher/cluster_status.hpp"

#include <chrono>
#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/process_info.hpp"
#include "launcher/launcher.hpp"
#include "launcher/pid_file.hpp"
#include "unit/launcher/launcher_testing.hpp"

namespace ipf {
namespace {

class ClusterStatusTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_profile(paths)); }
  void TearDown() override {
    if (sleeper) {
      sleeper->signal_group(SIGKILL);
      test::wait_for(*sleeper);
    }
  }
  /// Starts a process of the cluster and records it as the controller.
  ClusterRecord record_with_controller(std::vector<EnvironmentChange> environment) {
    Result<Process> spawned = test::spawn_sleeper(dir.path(), std::move(environment));
    EXPECT_TRUE(spawned);
    sleeper = std::move(*spawned);
    ClusterRecord record{.cluster_id = "x", .profile_dir = paths.dir.string()};
    record.machine = this_machine();
    record.controller = {.kind = "local",
                         .state_json = "{\"pid\":" + std::to_string(sleeper->pid()) + "}",
                         .engines = 0,
                         .processes = {{sleeper->pid(), sleeper->start_ticks()}}};
    return record;
  }
  test::TemporaryDir dir;
  ProfilePaths paths = dir.profile("x");
  std::optional<Process> sleeper;
};

TEST_F(ClusterStatusTest, LivingControllerMakesTheClusterRun) {
  const ClusterRecord record = record_with_controller({});
  const ClusterStatus status = inspect(record);
  EXPECT_EQ(status.liveness, Liveness::running);
  EXPECT_EQ(status.controller, record.controller.processes);
}

TEST_F(ClusterStatusTest, PidWithAnotherStartTimeIsSomebodyElse) {
  ClusterRecord record = record_with_controller(cluster_environment({.paths = paths}));
  ++record.controller.processes[0].start_ticks;
  EXPECT_EQ(inspect(record).liveness, Liveness::stopped);
}

TEST_F(ClusterStatusTest, WithoutStartTimeTheEnvironmentDecides) {
  ClusterRecord record = record_with_controller(cluster_environment({.paths = paths}));
  record.controller.processes[0].start_ticks = 0;
  const ClusterStatus status = inspect(record);
  EXPECT_EQ(status.liveness, Liveness::running);
  ASSERT_EQ(status.controller.size(), 1U);
  EXPECT_EQ(status.controller[0].start_ticks, sleeper->start_ticks()) << "is found out";
  record.cluster_id = "y";
  EXPECT_EQ(inspect(record).liveness, Liveness::stopped);
}

TEST_F(ClusterStatusTest, ZombieCountsAsGone) {
  const ClusterRecord record = record_with_controller({});
  kill(sleeper->pid(), SIGKILL);
  EXPECT_TRUE(wait_until_gone(record.controller.processes, std::chrono::seconds{20}).empty());
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(sleeper->pid()), &info, WEXITED | WNOHANG | WNOWAIT),
            0);
  EXPECT_EQ(info.si_pid, sleeper->pid()) << "nobody has reaped it yet";
  EXPECT_EQ(inspect(record).liveness, Liveness::stopped);
}

TEST_F(ClusterStatusTest, SameHostAfterARebootIsStopped) {
  ClusterRecord record = record_with_controller({});
  record.machine->boot = "earlier";
  EXPECT_EQ(inspect(record).liveness, Liveness::stopped);
}

TEST_F(ClusterStatusTest, NothingCanBeSaidAboutAnotherHost) {
  ClusterRecord record = record_with_controller({});
  record.machine->boot = "other";
  record.machine->host = "elsewhere";
  EXPECT_EQ(inspect(record).liveness, Liveness::elsewhere);
}

TEST_F(ClusterStatusTest, ClusterIsFoundByItsFile) {
  EXPECT_EQ(find_cluster(paths).error().code, ErrorCode::not_found);
  ASSERT_TRUE(write_cluster_file(paths.cluster_file(), record_with_controller({})));
  const Result<KnownCluster> known = find_cluster(paths);
  ASSERT_TRUE(known);
  EXPECT_EQ(known->status.liveness, Liveness::running);
  EXPECT_EQ(known->status.ipcluster, std::nullopt);
}

TEST_F(ClusterStatusTest, LockedPidFileAloneShowsIpcluster) {
  const Result<PidFile> pid_file = PidFile::create(paths.pid_file());
  ASSERT_TRUE(pid_file);
  const Result<KnownCluster> known = find_cluster(paths);
  ASSERT_TRUE(known);
  EXPECT_EQ(known->status.liveness, Liveness::running);
  EXPECT_EQ(known->status.ipcluster, (ProcessId{getpid(), process_start_ticks(getpid())}));
}

TEST_F(ClusterStatusTest, LivingJsonDropsWhatHasEnded) {
  ClusterRecord record = record_with_controller({});
  ASSERT_TRUE(write_cluster_file(paths.cluster_file(), record));
  const std::string all = test::read_text(paths.cluster_file());
  EXPECT_EQ(living_cluster_json(paths.cluster_file()).value(), all);
  sleeper->signal(SIGKILL);
  test::wait_for(*sleeper);
  const auto living = nlohmann::json::parse(living_cluster_json(paths.cluster_file()).value());
  EXPECT_FALSE(living.contains("controller"));
  EXPECT_EQ(living["cluster"]["cluster_id"], "x");
}

TEST_F(ClusterStatusTest, SignalOfAReusedPidIsNotSent) {
  const ClusterRecord record = record_with_controller({});
  ProcessId stranger = record.controller.processes[0];
  ++stranger.start_ticks;
  signal_process(stranger, SIGKILL);
  EXPECT_EQ(sleeper->poll(), std::nullopt);
  signal_process(record.controller.processes[0], SIGTERM);
  EXPECT_EQ(test::wait_for(*sleeper), (ExitStatus{.code = 0, .signal = SIGTERM}));
}

TEST_F(ClusterStatusTest, WaitingIsBounded) {
  const ClusterRecord record = record_with_controller({});
  const TimePoint begin = steady_now();
  const auto left = wait_until_gone(record.controller.processes, std::chrono::milliseconds{30});
  EXPECT_EQ(left, record.controller.processes);
  EXPECT_GE(steady_now() - begin, std::chrono::milliseconds{30});
}

}  // namespace
}  // namespace ipf
