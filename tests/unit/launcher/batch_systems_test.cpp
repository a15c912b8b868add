// The scripts of each batch system, and what its commands answer.
#include <algorithm>

#include <gtest/gtest.h>

#include "launcher/batch_system.hpp"
#include "unit/launcher/launcher_testing.hpp"

namespace ipf {
namespace {

BatchJob engines() {
  return {.role = LauncherRole::engines,
          .n = 3,
          .array = true,
          .name = "ipengine-x",
          .queue = "long",
          .walltime = "1:30:00",
          .options = {"-extra one"},
          .script = "/p/log/script",
          .log_stem = "/p/log/ipengine-x-7",
          .setup = "export A='1 2'\ncd /w || exit\n",
          .command = "/bin/ipengine --restart=never",
          .environment = {{"A", "1 2"}, {"B", std::nullopt}},
          .work_dir = "/w"};
}

std::string script(BatchSystem& system, const BatchJob& job) {
  const Result<std::string> out = system.script(job);
  return out ? *out : "error: " + out.error().message;
}

CommandOutcome answer(std::string out, std::string err = {}, int code = 0) {
  return {.status = {.code = code}, .out = std::move(out), .err = std::move(err)};
}

using Brief = std::vector<std::tuple<int, JobState, bool>>;

/// Number (-1 for the whole job), state and whether the exit status is a known failure.
Brief brief(const std::optional<std::vector<JobTask>>& tasks) {
  Brief out;
  for (const JobTask& task : tasks.value_or(std::vector<JobTask>{})) {
    out.emplace_back(task.number.value_or(-1), task.state,
                     task.status.known && !task.status.success());
  }
  return out;
}

TEST(BatchSystems, SlurmScript) {
  const auto system = make_slurm();
  LauncherSettings settings("S", R"({"account": "physics", "qos": "fast"})");
  system->read(settings);
  BatchJob job = engines();
  job.log_stem = "/p/a b%c/log";
  EXPECT_EQ(script(*system, job),
            "#!/bin/sh\n#SBATCH --job-name=\"ipengine-x\"\n#SBATCH --export=ALL\n"
            "#SBATCH --output=\"/p/a b%%c/log-%a.log\"\n#SBATCH --open-mode=append\n"
            "#SBATCH --array=0-2\n#SBATCH --ntasks=1\n#SBATCH --partition=long\n"
            "#SBATCH --account=physics\n#SBATCH --qos=fast\n#SBATCH --time=1:30:00\n"
            "#SBATCH -extra one\nexport A='1 2'\ncd /w || exit\n"
            "exec /bin/ipengine --restart=never\n");
  job.array = false;
  const std::string one = script(*system, job);
  EXPECT_NE(one.find("#SBATCH --ntasks=3\n"), std::string::npos);
  EXPECT_NE(one.find("exec srun /bin/ipengine"), std::string::npos);
  EXPECT_EQ(system->signal_arguments(2, "8_1", script(*system, engines())),
            (std::vector<std::string>{"2", "--batch", "8_1"}));
  EXPECT_EQ(system->signal_arguments(2, "8", one), (std::vector<std::string>{"2", "8"}));
}

TEST(BatchSystems, SlurmAnswer) {
  const auto system = make_slurm();
  EXPECT_EQ(brief(system->tasks("8", answer("0|RUNNING|0|None|\n1|FAILED|768|NonZeroExitCode|\n"
                                            "2|CANCELLED|15|None|\n3|PENDING|0|Priority|\n"))),
            (Brief{{0, JobState::running, false},
                   {1, JobState::ended, true},
                   {2, JobState::ended, true},
                   {3, JobState::queued, false}}));
  EXPECT_EQ(system->tasks("8", answer("1|FAILED|768|NonZeroExitCode|\n"))->at(0).status.code, 3);
  EXPECT_EQ(brief(system->tasks("8", answer("N/A|COMPLETING|0|None|\n"))),
            (Brief{{-1, JobState::running, false}}));
  EXPECT_TRUE(system->tasks("8", answer("", "slurm_load_jobs error: Invalid job id specified", 1)));
  EXPECT_FALSE(system->tasks("8", answer("", "Unable to contact slurm controller", 1)));
}

TEST(BatchSystems, SgeScriptAndAnswer) {
  const auto system = make_sge();
  EXPECT_EQ(script(*system, engines()),
            "#!/bin/sh\n#$ -V\n#$ -S /bin/sh\n#$ -N ipengine-x\n#$ -j y\n"
            "#$ -o /p/log/ipengine-x-7-$TASK_ID.log\n#$ -t 1-3\n#$ -q long\n#$ -l h_rt=1:30:00\n"
            "#$ -extra one\nexport A='1 2'\ncd /w || exit\nexec /bin/ipengine --restart=never\n");
  const auto entry = [](const char* job, const char* state, const char* task) {
    return "<job_list state=\"x\"><JB_job_number>" + std::string{job} + "</JB_job_number><state>" +
           state + "</state><tasks>" + task + "</tasks></job_list>";
  };
  const std::string xml = "<job_info>" + entry("2", "r", "1") + entry("12", "r", "1") +
                          entry("2", "qw", "2") + entry("2", "Eqw", "3") + entry("2", "dr", "4") +
                          "</job_info>";
  const auto tasks = system->tasks("2", answer(xml));
  EXPECT_EQ(brief(tasks), (Brief{{1, JobState::running, false},
                                 {2, JobState::queued, false},
                                 {3, JobState::ended, false},
                                 {4, JobState::running, false}}));
  EXPECT_TRUE(tasks->at(2).stuck);
  EXPECT_FALSE(system->tasks("2", answer("error: commlib", "", 1)));
  EXPECT_TRUE(system->names().signal.empty());
}

TEST(BatchSystems, PbsScriptAndAnswer) {
  const auto system = make_pbs();
  const std::string text = script(*system, engines());
  for (const char* line : {"#PBS -V\n", "#PBS -N ipengine-x\n", "#PBS -j oe\n", "#PBS -t 1-3\n",
                           "#PBS -q long\n", "#PBS -l walltime=1:30:00\n", "#PBS -extra one\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
  const std::string table =
      "Job id              Name             Username        Time Use S Queue\n"
      "------------------- ---------------- --------------- -------- - -----\n"
      "12[1].head          ipengine         me              00:00:00 R long\n"
      "12[2].head          ipengine         me              0        Q long\n"
      "12[3].head          ipengine         me              00:00:01 C long\n"
      "123.head            other            me              00:00:01 R long\n";
  EXPECT_EQ(system->query("12[]"), (std::vector<std::string>{"qstat", "-t", "12[]"}));
  EXPECT_EQ(brief(system->tasks("12[]", answer(table))), (Brief{{1, JobState::running, false},
                                                                {2, JobState::queued, false},
                                                                {3, JobState::ended, false}}));
  EXPECT_TRUE(system->tasks("12", answer("", "qstat: Unknown Job Id 12", 153)));
  EXPECT_FALSE(system->tasks("12", answer("", "Unknown option: t", 2)));
  EXPECT_EQ(system->query("12"), std::vector<std::string>{"qstat"}) << "qstat of Slurm";
  EXPECT_EQ(brief(system->tasks("12", answer("12  ipengine  me  00:00:00 R main\n"))),
            (Brief{{-1, JobState::running, false}}));
}

TEST(BatchSystems, LsfScriptAndAnswer) {
  const auto system = make_lsf();
  EXPECT_EQ(script(*system, engines()),
            "#!/bin/sh\n#BSUB -J \"ipengine-x[1-3]\"\n#BSUB -o /p/log/ipengine-x-7-%I.log\n"
            "#BSUB -q long\n#BSUB -W 1:30:00\n#BSUB -extra one\nexport A='1 2'\ncd /w || exit\n"
            "export LSB_STDOUT_DIRECT=Y\nexec /bin/ipengine --restart=never\n");
  EXPECT_TRUE(system->script_on_stdin());
  const auto tasks =
      system->tasks("9", answer("1|RUN|-\n2|EXIT|3\n3|EXIT|143\n4|PEND|-\n5|DONE|-\n"));
  EXPECT_EQ(brief(tasks), (Brief{{1, JobState::running, false},
                                 {2, JobState::ended, true},
                                 {3, JobState::ended, true},
                                 {4, JobState::queued, false},
                                 {5, JobState::ended, false}}));
  EXPECT_EQ(tasks->at(1).status.code, 3);
  EXPECT_EQ(tasks->at(2).status.signal, 15);
  EXPECT_TRUE(system->tasks("9", answer("", "Job <9> is not found", 255)));
}

TEST(BatchSystems, HtCondorScriptAndAnswer) {
  const auto system = make_htcondor();
  BatchJob job = engines();
  job.walltime = "90";
  job.options = {"request_memory = 1GB"};
  job.command = "/bin/ipengine 'it'\"'\"'s'";
  const std::string text = script(*system, job);
  EXPECT_NE(text.find("arguments = \"-c 'export A=''1 2'';cd /w || exit;exec /bin/ipengine "
                      "''it''\"\"''\"\"''s'' 2>&1'\"\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("output = /p/log/ipengine-x-7-$(Process).log\n"), std::string::npos);
  EXPECT_NE(text.find("> 5400)\nrequest_memory = 1GB\nqueue 3\n"), std::string::npos) << text;
  job.walltime = "tomorrow";
  EXPECT_TRUE(script(*system, job).starts_with("error: the walltime 'tomorrow' is not minutes"));
  const auto tasks =
      system->tasks("5", answer("0, 2, undefined\n1, 1, undefined\n2, 5, no such file\n"));
  EXPECT_EQ(brief(tasks), (Brief{{0, JobState::running, false},
                                 {1, JobState::queued, false},
                                 {2, JobState::ended, false}}));
  EXPECT_TRUE(tasks->at(2).stuck);
  EXPECT_EQ(tasks->at(2).text, "held: no such file");
  EXPECT_TRUE(system->names().signal.empty());
}

TEST(BatchSystems, WindowsHpcScriptAndAnswer) {
  const auto system = make_windows_hpc();
  LauncherSettings settings("W", R"({"scheduler": "HEAD", "job_cmd": "job.exe"})");
  system->read(settings);
  BatchJob job = engines();
  job.command = "C:\\x\\ipengine.exe \"a&b\"";
  const std::string text = script(*system, job);
  EXPECT_NE(text.find("RuntimeSeconds=\"5400\""), std::string::npos);
  EXPECT_NE(text.find("CommandLine=\"C:\\x\\ipengine.exe &quot;a&amp;b&quot;\""),
            std::string::npos);
  EXPECT_NE(text.find("<Variable><Name>A</Name><Value>1 2</Value></Variable>"), std::string::npos);
  EXPECT_NE(text.find("StdOutFilePath=\"/p/log/ipengine-x-7-3.log\""), std::string::npos);
  EXPECT_EQ(system->submit_arguments("/f.xml"),
            (std::vector<std::string>{"submit", "/jobfile:/f.xml", "/scheduler:HEAD"}));
  EXPECT_EQ(system->kill_command("4"),
            (std::vector<std::string>{"job.exe", "cancel", "4", "/scheduler:HEAD"}));
  EXPECT_EQ(
      brief(system->tasks("4", answer("Task Id : 4.1\nState : Running\n\nTask Id : 4.2\nState "
                                      ": Failed\n"))),
      (Brief{{1, JobState::running, false}, {2, JobState::ended, true}}));
}

TEST(BatchSystems, SettingsAreCheckedAndTheTemplateIsUsed) {
  test::TemporaryDir dir;
  const ProfilePaths paths = dir.profile("x");
  ASSERT_TRUE(make_profile(paths));
  LaunchOptions options{.paths = paths, .command = {"my engine"}, .set_id = "7"};
  options.settings_json = R"({"queue": "a\nrm -rf"})";
  auto launcher = make_launcher(LauncherRole::engines, "Slurm", options);
  ASSERT_FALSE(launcher);
  EXPECT_NE(launcher.error().message.find("one line"), std::string::npos);
  options.settings_json = R"json({"batch_file_name": "job.txt", "submit_command": ["cat"],
      "delete_command": ["true"], "job_id_regexp": "job ([0-9]+)", "namespace": {"k": 4},
      "work_dir": ")json" +
                          paths.dir.string() + R"json(", "poll_seconds": 0.01,
      "batch_template": "job 42 {n//2} {k} {program_and_args} {queue}"})json";
  launcher = make_launcher(LauncherRole::engines, "batch", options);
  ASSERT_TRUE(launcher) << launcher.error().message;
  ASSERT_TRUE((*launcher)->start(4));
  EXPECT_EQ(test::read_text(paths.dir / "job.txt"), "job 42 2 4 'my engine' ");
  std::vector<LaunchExit> ended;
  const TimePoint deadline = steady_now() + std::chrono::seconds{20};
  while ((*launcher)->state().state_json.empty() && steady_now() < deadline) {
    (*launcher)->poll(ended);
  }
  const auto state = nlohmann::json::parse((*launcher)->state().state_json);
  EXPECT_EQ(state["job_id"], "42");
  EXPECT_EQ(state["n"], 4);
  EXPECT_TRUE((*launcher)->running());
  ASSERT_TRUE((*launcher)->stop(StopLevel::graceful));
  while ((*launcher)->running() && steady_now() < deadline) {
    (*launcher)->poll(ended);
  }
  EXPECT_FALSE((*launcher)->running()) << "the delete command has ended";
}

TEST(BatchSystems, ARefusedJobIsReportedWithTheAnswer) {
  test::TemporaryDir dir;
  const ProfilePaths paths = dir.profile("x");
  ASSERT_TRUE(make_profile(paths));
  LaunchOptions options{.paths = paths, .command = {"ipengine"}, .set_id = "7"};
  options.settings_json =
      R"({"submit_command": ["sh", "-c", "echo invalid partition >&2; exit 4"]})";
  const auto launcher = make_launcher(LauncherRole::engines, "slurm", options);
  ASSERT_TRUE(launcher);
  ASSERT_TRUE((*launcher)->start(2));
  std::vector<LaunchExit> ended;
  const TimePoint deadline = steady_now() + std::chrono::seconds{20};
  while (ended.empty() && steady_now() < deadline) {
    (*launcher)->poll(ended);
  }
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].engines, 2);
  EXPECT_EQ(ended[0].status.code, 4);
  EXPECT_NE(ended[0].detail.find("exit status 4: invalid partition"), std::string::npos);
  EXPECT_FALSE((*launcher)->running());
}

}  // namespace
}  // namespace ipf
