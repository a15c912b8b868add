// Windows HPC Server: job.exe with an XML description of the job.
#include <charconv>

#include "launcher/batch_system.hpp"

namespace ipf {

namespace {

std::string xml_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

class WindowsHpc final : public BatchSystem {
 public:
  [[nodiscard]] Names names() const override {
    return {.kind = "winhpc",
            .prefix = "WindowsHPC",
            .scripts = "winhpc",
            .extension = ".xml",
            .file_name = job_file_name_,
            .submit = {job_cmd_},
            .remove = {job_cmd_},
            .walltime = "minutes or hours:minutes:seconds"};
  }

  void read(LauncherSettings& settings) override {
    settings.read("job_cmd", job_cmd_);
    settings.read("scheduler", scheduler_);
    settings.read("job_file_name", job_file_name_);
  }

  [[nodiscard]] Result<std::string> script(const BatchJob& job) const override {
    std::string runtime;
    if (!job.walltime.empty()) {
      const auto seconds = walltime_seconds(job.walltime);
      if (!seconds) {
        return unexpected(ErrorCode::invalid_argument,
                          "the walltime '" + job.walltime + "' is not " + names().walltime);
      }
      runtime = " RuntimeSeconds=\"" + std::to_string(*seconds) + "\"";
    }
    std::string out =
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
        "<Job Version=\"2.000\" Name=\"" +
        xml_text(job.name) + "\" UnitType=\"Core\" MinCores=\"1\" MaxCores=\"" +
        std::to_string(job.n) + "\" IsExclusive=\"false\" Priority=\"Normal\"" + runtime +
        " xmlns=\"http://schemas.microsoft.com/HPCS2008/scheduler/\">\n  <Tasks>\n";
    for (int i = 1; i <= job.n; ++i) {
      out += task(job, i);
    }
    return out + "  </Tasks>\n</Job>\n";
  }

  [[nodiscard]] std::vector<std::string> submit_arguments(
      const std::string& script) const override {
    return {"submit", "/jobfile:" + script, "/scheduler:" + scheduler_};
  }

  [[nodiscard]] std::vector<std::string> remove_arguments(
      const std::string& target) const override {
    return {"cancel", target, "/scheduler:" + scheduler_};
  }

  [[nodiscard]] std::string task_id(const std::string& job,
                                    std::optional<int> task) const override {
    return task ? job + "." + std::to_string(*task) : job;
  }

  [[nodiscard]] std::vector<std::string> query(const std::string& job) const override {
    return {job_cmd_, "listtasks", job, "/scheduler:" + scheduler_, "/format:list"};
  }

  /// Blocks of lines "Task Id : 12.3" and "State : Running".
  std::optional<std::vector<JobTask>> tasks(const std::string& job,
                                            const CommandOutcome& answer) override {
    if (!answer.success()) {
      return std::nullopt;
    }
    std::vector<JobTask> out;
    for (const auto& row : table(answer.out, ' ')) {
      const std::string& value = row.back();
      if (row.front() == "Task" && value.starts_with(job + ".")) {
        JobTask task{};
        int number = 0;
        std::from_chars(value.data() + job.size() + 1, value.data() + value.size(), number);
        task.number = number;
        out.push_back(task);
      } else if (row.front() == "State" && !out.empty()) {
        out.back().text = "state " + value;
        const bool ended = value == "Finished" || value == "Failed" || value == "Canceled";
        const bool runs = value == "Running" || value == "Finishing" || value == "Canceling";
        out.back().state = ended ? JobState::ended : runs ? JobState::running : JobState::queued;
        out.back().status = {.code = value == "Finished" ? 0 : 1,
                             .signal = 0,
                             .known = value == "Finished" || value == "Failed"};
      }
    }
    return out;
  }

  [[nodiscard]] std::vector<std::string> kill_command(const std::string& target) const override {
    std::vector<std::string> out{job_cmd_};
    append(out, remove_arguments(target));
    return out;
  }

 private:
  [[nodiscard]] std::string task(const BatchJob& job, int index) const {
    std::string out = "    <Task Name=\"" + xml_text(job.name) +
                      "\" MinCores=\"1\" MaxCores=\"1\""
                      " IsRerunnable=\"false\" IsExclusive=\"false\" WorkDirectory=\"" +
                      xml_text(job.work_dir.string()) + "\" CommandLine=\"" +
                      xml_text(job.command) + "\" StdOutFilePath=\"" +
                      xml_text(log_of(job, index)) + "\" StdErrFilePath=\"" +
                      xml_text(log_of(job, index)) + "\">\n      <EnvironmentVariables>\n";
    for (const auto& [name, value] : job.environment) {
      if (value) {
        out += "        <Variable><Name>" + xml_text(name) + "</Name><Value>" + xml_text(*value) +
               "</Value></Variable>\n";
      }
    }
    return out + "      </EnvironmentVariables>\n    </Task>\n";
  }

  std::string job_cmd_{"job"};
  std::string scheduler_{"HEADNODE"};
  std::string job_file_name_{};
};

}  // namespace

std::unique_ptr<BatchSystem> make_windows_hpc() {
  return std::make_unique<WindowsHpc>();
}

}  // namespace ipf
