// Slurm: sbatch, squeue, scancel.
#include <charconv>
#include <sys/wait.h>

#include "launcher/batch_system.hpp"

namespace ipf {

namespace {

/// The text inside the quotes of a directive; `%` begins a pattern there.
std::string in_quotes(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += c == '%' ? std::string{"%%"} : std::string{c};
  }
  return out;
}

JobState job_state(const std::string& name) {
  if (name == "PENDING" || name == "CONFIGURING" || name == "REQUEUED" || name == "REQUEUE_HOLD" ||
      name == "SPECIAL_EXIT" || name == "RESV_DEL_HOLD") {
    return JobState::queued;
  }
  const bool here = name == "RUNNING" || name == "COMPLETING" || name == "SUSPENDED" ||
                    name == "STOPPED" || name == "SIGNALING" || name == "STAGE_OUT" ||
                    name == "RESIZING";
  return here ? JobState::running : JobState::ended;
}

ExitStatus exit_status(const std::string& wait_status) {
  int value = 0;
  std::from_chars(wait_status.data(), wait_status.data() + wait_status.size(), value);
  return WIFSIGNALED(value) ? ExitStatus{.code = 0, .signal = WTERMSIG(value)}
                            : ExitStatus{.code = WEXITSTATUS(value), .signal = 0};
}

class Slurm final : public BatchSystem {
 public:
  [[nodiscard]] Names names() const override {
    return {.kind = "slurm",
            .prefix = "Slurm",
            .scripts = "slurm",
            .extension = ".sbatch",
            .submit = {"sbatch"},
            .remove = {"scancel"},
            .signal = {"scancel", "-s"},
            .first_task = 0,
            .walltime = "minutes or [days-]hours:minutes:seconds"};
  }

  void read(LauncherSettings& settings) override {
    settings.read("account", account_);
    settings.read("qos", qos_);
    settings.read("job_array", job_array_);
  }

  void add_names(nlohmann::json& scope) const override {
    scope["account"] = account_;
    scope["qos"] = qos_;
  }

  [[nodiscard]] bool uses_arrays() const override { return job_array_; }

  [[nodiscard]] Result<std::string> script(const BatchJob& job) const override {
    std::vector<std::string> out{
        "--job-name=\"" + in_quotes(job.name) + "\"", "--export=ALL",
        "--output=\"" + in_quotes(job.log_stem) + (job.array ? "-%a.log\"" : ".log\""),
        "--open-mode=append"};
    if (job.array) {
      out.push_back("--array=0-" + std::to_string(job.n - 1));
    }
    out.push_back("--ntasks=" + std::to_string(job.array ? 1 : job.n));
    const auto add = [&out](const char* option, const std::string& value) {
      if (!value.empty()) {
        out.push_back(option + value);
      }
    };
    add("--partition=", job.queue);
    add("--account=", account_);
    add("--qos=", qos_);
    add("--time=", job.walltime);
    append(out, job.options);
    const bool one_job_for_all = !job.array && job.role == LauncherRole::engines;
    return shell_script(
        "#SBATCH", out,
        job.setup + "exec " + (one_job_for_all ? "srun " : "") + job.command + "\n");
  }

  [[nodiscard]] std::string task_id(const std::string& job,
                                    std::optional<int> task) const override {
    return task ? job + "_" + std::to_string(*task) : job;
  }

  [[nodiscard]] std::vector<std::string> query(const std::string& job) const override {
    return {"squeue",        "--noheader",   "--array",
            "--jobs=" + job, "--states=all", "--Format=ArrayTaskID:|,State:|,exit_code:|,Reason:|"};
  }

  std::optional<std::vector<JobTask>> tasks(const std::string& /*job*/,
                                            const CommandOutcome& answer) override {
    std::vector<JobTask> out;
    if (!answer.success()) {  // a job that the controller has forgotten is an "invalid" one
      return answer.err.find("Invalid job id") == std::string::npos ? std::nullopt
                                                                    : std::optional{out};
    }
    for (const auto& row : table(answer.out, '|')) {
      if (row.size() < 4) {
        continue;
      }
      JobTask task{
          .number = std::nullopt,
          .state = job_state(row[1]),
          .status = exit_status(row[2]),
          .text = row[1] + (row[3] == "None" || row[3].empty() ? "" : " (" + row[3] + ")")};
      int number = 0;
      if (std::from_chars(row[0].data(), row[0].data() + row[0].size(), number).ec == std::errc{}) {
        task.number = number;
      }
      out.push_back(std::move(task));
    }
    return out;
  }

  /// A script of ours is replaced by its program, so the batch step is the engine; where srun
  /// starts the engines they are the other steps.
  [[nodiscard]] std::vector<std::string> signal_arguments(
      int number, const std::string& target, const std::string& script) const override {
    if (script.find("srun") == std::string::npos) {
      return {std::to_string(number), "--batch", target};
    }
    return {std::to_string(number), target};
  }

  [[nodiscard]] std::vector<std::string> kill_command(const std::string& target) const override {
    return {"scancel", "--full", "--signal=KILL", target};
  }

 private:
  std::string account_{};
  std::string qos_{};
  bool job_array_{true};
};

}  // namespace

std::unique_ptr<BatchSystem> make_slurm() {
  return std::make_unique<Slurm>();
}

}  // namespace ipf
