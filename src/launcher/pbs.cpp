// PBS: Torque, PBS Pro and OpenPBS, and Slurm's commands of these names.
#include <charconv>

#include "launcher/batch_system.hpp"

namespace ipf {

namespace {

/// What follows `<job>` in the first column: nothing for the job itself, the number for
/// "12[3].host" and "12-3.host"; another job gives false.
bool read_id(std::string_view id, std::string_view job, std::optional<int>& number) {
  if (job.ends_with("[]")) {
    job.remove_suffix(2);
  }
  if (!id.starts_with(job)) {
    return false;
  }
  id.remove_prefix(job.size());
  if (id.empty() || id[0] == '.' || id.starts_with("[]")) {
    return true;
  }
  int value = 0;
  const bool counted =
      (id[0] == '[' || id[0] == '-' || id[0] == '_') &&
      std::from_chars(id.data() + 1, id.data() + id.size(), value).ec == std::errc{};
  if (counted) {
    number = value;
  }
  return counted;
}

class Pbs final : public BatchSystem {
 public:
  [[nodiscard]] Names names() const override {
    return {.kind = "pbs",
            .prefix = "PBS",
            .scripts = "pbs",
            .submit = {"qsub"},
            .remove = {"qdel"},
            .signal = {"qsig", "-s"},
            .job_id_regexp = "([0-9]+(\\[\\])?)",
            .walltime = "hours:minutes:seconds"};
  }

  void read(LauncherSettings& settings) override {
    settings.read("job_array_option", array_option_);
  }

  [[nodiscard]] Result<std::string> script(const BatchJob& job) const override {
    std::vector<std::string> out{"-V", "-N " + job.name, "-j oe", "-o " + job.log_stem + ".job"};
    if (job.array) {
      out.push_back(array_option_ + " 1-" + std::to_string(job.n));
    }
    if (!job.queue.empty()) {
      out.push_back("-q " + job.queue);
    }
    if (!job.walltime.empty()) {
      out.push_back("-l walltime=" + job.walltime);
    }
    append(out, job.options);
    // The names of output files of tasks differ between the systems, so the script opens its own;
    // they all tell a task its number, each by another variable.
    const std::string number =
        job.array ? "-${PBS_ARRAYID:-${PBS_ARRAY_INDEX:-${SLURM_ARRAY_TASK_ID:-1}}}" : "";
    return shell_script("#PBS", out,
                        "exec >>" + shell_word(job.log_stem) + "\"" + number + ".log\" 2>&1\n" +
                            job.setup + "exec " + job.command + "\n");
  }

  [[nodiscard]] std::string task_id(const std::string& job,
                                    std::optional<int> task) const override {
    const std::string plain = job.ends_with("[]") ? job.substr(0, job.size() - 2) : job;
    return task ? plain + "[" + std::to_string(*task) + "]" : job;
  }

  [[nodiscard]] std::vector<std::string> query(const std::string& job) const override {
    return plain_query_ ? std::vector<std::string>{"qstat"}
                        : std::vector<std::string>{"qstat", "-t", job};
  }

  std::optional<std::vector<JobTask>> tasks(const std::string& job,
                                            const CommandOutcome& answer) override {
    std::vector<JobTask> out;
    if (!answer.success()) {
      const bool gone = answer.err.find("Unknown Job") != std::string::npos ||
                        answer.err.find("has finished") != std::string::npos;
      if (gone) {
        return out;
      }
      plain_query_ = !answer.timed_out;  // qstat of Slurm knows neither -t nor a job's tasks
      return std::nullopt;
    }
    for (const auto& row : table(answer.out, ' ')) {
      std::optional<int> number;
      if (row.size() < 5 || !read_id(row[0], job, number)) {
        continue;
      }
      const std::string& letter = row[row.size() - 2];
      const bool ended = letter == "C" || letter == "F" || letter == "X";
      const bool queued = letter == "Q" || letter == "H" || letter == "W" || letter == "T";
      out.push_back({.number = number,
                     .state = ended    ? JobState::ended
                              : queued ? JobState::queued
                                       : JobState::running,
                     .text = "state " + letter});
    }
    return out;
  }

  [[nodiscard]] std::vector<std::string> kill_command(const std::string& target) const override {
    return {"qdel", target};
  }

 private:
  std::string array_option_{"-t"};
  bool plain_query_{};
};

}  // namespace

std::unique_ptr<BatchSystem> make_pbs() {
  return std::make_unique<Pbs>();
}

}  // namespace ipf
