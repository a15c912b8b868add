// HTCondor: condor_submit, condor_q, condor_rm. It has no command that sends a signal.
#include <algorithm>
#include <charconv>

#include "launcher/batch_system.hpp"

namespace ipf {

namespace {

/// One argument in the quotes of a submit file: quotes are doubled, `$(` begins a macro there.
std::string condor_argument(const std::string& text) {
  std::string out = "'";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\'' || c == '"') {
      out += std::string{c} + c;
    } else if (c == '$' && i + 1 < text.size() && text[i + 1] == '(') {
      out += "$(DOLLAR)";
    } else {
      out += c;
    }
  }
  return out + "'";
}

class HtCondor final : public BatchSystem {
 public:
  [[nodiscard]] Names names() const override {
    return {.kind = "htcondor",
            .prefix = "HTCondor",
            .scripts = "htcondor",
            .submit = {"condor_submit"},
            .remove = {"condor_rm"},
            .job_id_regexp = "([0-9]+)\\.\\s*$",
            .first_task = 0,
            .walltime = "minutes or hours:minutes:seconds"};
  }

  /// The program is started by sh: its standard output and error can then be one file, and it
  /// begins in the right directory.
  [[nodiscard]] Result<std::string> script(const BatchJob& job) const override {
    std::string line = job.setup;
    std::ranges::replace(line, '\n', ';');
    line += "exec " + job.command + " 2>&1";
    if (line.find('\n') != std::string::npos) {
      return unexpected(ErrorCode::invalid_argument,
                        "a command for HTCondor cannot have a line break in it");
    }
    const std::string log = job.log_stem + (job.array ? "-$(Process).log" : ".log");
    std::string out =
        "universe = vanilla\nexecutable = /bin/sh\ntransfer_executable = False\n"
        "should_transfer_files = NO\ngetenv = True\n"
        "arguments = \"-c " +
        condor_argument(line) + "\"\noutput = " + log + "\nerror = /dev/null\n+JobBatchName = \"" +
        job.name + "\"\n";
    if (!job.queue.empty()) {
      out += "+Queue = \"" + job.queue + "\"\n";
    }
    if (!job.walltime.empty()) {
      const auto seconds = walltime_seconds(job.walltime);
      if (!seconds) {
        return unexpected(ErrorCode::invalid_argument,
                          "the walltime '" + job.walltime + "' is not " + names().walltime);
      }
      out += "periodic_remove = (JobStatus == 2) && (time() - EnteredCurrentStatus > " +
             std::to_string(*seconds) + ")\n";
    }
    for (const std::string& option : job.options) {
      out += option + "\n";
    }
    return out + "queue " + std::to_string(job.array ? job.n : 1) + "\n";
  }

  [[nodiscard]] std::vector<std::string> submit_arguments(
      const std::string& script) const override {
    return {script};
  }

  [[nodiscard]] std::string task_id(const std::string& job,
                                    std::optional<int> task) const override {
    return task ? job + "." + std::to_string(*task) : job;
  }

  [[nodiscard]] std::vector<std::string> query(const std::string& job) const override {
    return {"condor_q", job, "-af:,", "ProcId", "JobStatus", "HoldReason"};
  }

  std::optional<std::vector<JobTask>> tasks(const std::string& /*job*/,
                                            const CommandOutcome& answer) override {
    if (!answer.success()) {
      return std::nullopt;
    }
    std::vector<JobTask> out;
    for (const auto& row : table(answer.out, ',')) {
      int number = 0;
      if (row.size() < 2 ||
          std::from_chars(row[0].data(), row[0].data() + row[0].size(), number).ec != std::errc{}) {
        continue;
      }
      out.push_back(task_of(number, row));
    }
    return out;
  }

  [[nodiscard]] std::vector<std::string> kill_command(const std::string& target) const override {
    return {"condor_rm", target};
  }

 private:
  static JobTask task_of(int number, const std::vector<std::string>& row) {
    constexpr int idle = 1;
    constexpr int completed = 4;
    constexpr int held = 5;
    int status = 0;
    const std::size_t digit = row[1].find_first_not_of(' ');
    if (digit != std::string::npos) {
      std::from_chars(row[1].data() + digit, row[1].data() + row[1].size(), status);
    }
    JobTask out{.number = number, .text = "JobStatus " + std::to_string(status)};
    out.stuck = status == held;
    if (status == held) {
      out.text = "held:" + (row.size() > 2 ? row[2] : std::string{});
    }
    out.state = status == idle                          ? JobState::queued
                : status == completed || status == held ? JobState::ended
                                                        : JobState::running;
    return out;
  }
};

}  // namespace

std::unique_ptr<BatchSystem> make_htcondor() {
  return std::make_unique<HtCondor>();
}

}  // namespace ipf
