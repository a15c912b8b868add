// LSF: bsub, bjobs, bkill.
#include <charconv>

#include "launcher/batch_system.hpp"

namespace ipf {

namespace {

class Lsf final : public BatchSystem {
 public:
  [[nodiscard]] Names names() const override {
    return {.kind = "lsf",
            .prefix = "LSF",
            .scripts = "lsf",
            .submit = {"bsub"},
            .remove = {"bkill"},
            .signal = {"bkill", "-s"},
            .walltime = "minutes or hours:minutes"};
  }

  [[nodiscard]] bool script_on_stdin() const override { return true; }

  [[nodiscard]] Result<std::string> script(const BatchJob& job) const override {
    std::vector<std::string> out;
    out.push_back("-J " +
                  (job.array ? "\"" + job.name + "[1-" + std::to_string(job.n) + "]\"" : job.name));
    out.push_back("-o " + job.log_stem + (job.array ? "-%I.log" : ".log"));
    if (!job.queue.empty()) {
      out.push_back("-q " + job.queue);
    }
    if (!job.walltime.empty()) {
      out.push_back("-W " + job.walltime);
    }
    append(out, job.options);
    // Output goes to the file at once, not by mail or at the end of the job.
    return shell_script("#BSUB", out,
                        job.setup + "export LSB_STDOUT_DIRECT=Y\nexec " + job.command + "\n");
  }

  [[nodiscard]] std::vector<std::string> query(const std::string& job) const override {
    return {"bjobs", "-a", "-noheader", "-o", "jobindex stat exit_code delimiter='|'", job};
  }

  std::optional<std::vector<JobTask>> tasks(const std::string& /*job*/,
                                            const CommandOutcome& answer) override {
    std::vector<JobTask> out;
    if (answer.err.find("is not found") != std::string::npos) {
      return out;
    }
    if (!answer.success()) {
      return std::nullopt;
    }
    for (const auto& row : table(answer.out, '|')) {
      if (row.size() >= 3) {
        out.push_back(task_of(row));
      }
    }
    return out;
  }

  [[nodiscard]] std::vector<std::string> kill_command(const std::string& target) const override {
    return {"bkill", "-s", "KILL", target};
  }

 private:
  static JobTask task_of(const std::vector<std::string>& row) {
    const std::string& state = row[1];
    JobTask out{.text = "state " + state};
    int value = 0;
    const auto read = std::from_chars(row[0].data(), row[0].data() + row[0].size(), value);
    if (read.ec == std::errc{} && value > 0) {
      out.number = value;
    }
    if (state == "DONE" || state == "EXIT") {
      out.state = JobState::ended;
      value = 0;
      std::from_chars(row[2].data(), row[2].data() + row[2].size(), value);
      constexpr int signal_base = 128;
      out.status = value > signal_base ? ExitStatus{.code = 0, .signal = value - signal_base}
                                       : ExitStatus{.code = value, .signal = 0};
    } else if (state != "PEND" && state != "PSUSP" && state != "WAIT") {
      out.state = JobState::running;
    }
    return out;
  }
};

}  // namespace

std::unique_ptr<BatchSystem> make_lsf() {
  return std::make_unique<Lsf>();
}

}  // namespace ipf
