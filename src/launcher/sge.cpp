// Grid Engine: qsub, qstat -xml, qdel. It has no command that sends a signal.
#include <charconv>

#include "launcher/batch_system.hpp"

namespace ipf {

namespace {

/// The text of the first element of that name; empty when there is none.
std::string element(std::string_view xml, const std::string& name) {
  const std::string open = "<" + name + ">";
  const std::size_t begin = xml.find(open);
  const std::size_t end = xml.find("</" + name + ">");
  return begin == std::string_view::npos || end == std::string_view::npos || end < begin
             ? std::string{}
             : std::string{xml.substr(begin + open.size(), end - begin - open.size())};
}

JobTask task_of(std::string_view entry) {
  const std::string state = element(entry, "state");
  JobTask out{.text = "state " + state};
  const std::string number = element(entry, "tasks");
  int value = 0;
  if (std::from_chars(number.data(), number.data() + number.size(), value).ec == std::errc{}) {
    out.number = value;
  }
  out.stuck = state.find('E') != std::string::npos && state.find('d') == std::string::npos;
  if (out.stuck) {
    out.state = JobState::ended;
    out.text = "the job is in the error state " + state + ", see `qstat -j`";
  } else if (state.find('r') != std::string::npos || state.find('t') != std::string::npos) {
    out.state = JobState::running;
  }
  return out;
}

class Sge final : public BatchSystem {
 public:
  [[nodiscard]] Names names() const override {
    return {.kind = "sge",
            .prefix = "SGE",
            .scripts = "sge",
            .submit = {"qsub"},
            .remove = {"qdel"},
            .walltime = "seconds or hours:minutes:seconds"};
  }

  [[nodiscard]] Result<std::string> script(const BatchJob& job) const override {
    std::vector<std::string> out{"-V", "-S /bin/sh", "-N " + job.name, "-j y",
                                 "-o " + job.log_stem + (job.array ? "-$TASK_ID.log" : ".log")};
    if (job.array) {
      out.push_back("-t 1-" + std::to_string(job.n));
    }
    if (!job.queue.empty()) {
      out.push_back("-q " + job.queue);
    }
    if (!job.walltime.empty()) {
      out.push_back("-l h_rt=" + job.walltime);
    }
    append(out, job.options);
    return shell_script("#$", out, job.setup + "exec " + job.command + "\n");
  }

  [[nodiscard]] std::string task_id(const std::string& job,
                                    std::optional<int> task) const override {
    return task ? job + "." + std::to_string(*task) : job;
  }

  [[nodiscard]] std::vector<std::string> query(const std::string& /*job*/) const override {
    return {"qstat", "-xml", "-g", "d"};
  }

  std::optional<std::vector<JobTask>> tasks(const std::string& job,
                                            const CommandOutcome& answer) override {
    if (!answer.success() || answer.out.find("</job_info>") == std::string::npos) {
      return std::nullopt;
    }
    constexpr std::string_view end_mark = "</job_list>";
    std::vector<JobTask> out;
    std::string_view rest = answer.out;
    for (std::size_t at = rest.find("<job_list"); at != std::string_view::npos;
         at = rest.find("<job_list")) {
      rest.remove_prefix(at);
      const std::string_view entry = rest.substr(0, rest.find(end_mark));
      if (element(entry, "JB_job_number") == job) {
        out.push_back(task_of(entry));
      }
      rest.remove_prefix(entry.size());
    }
    return out;
  }

  [[nodiscard]] std::vector<std::string> kill_command(const std::string& target) const override {
    return {"qdel", "-f", target};
  }
};

}  // namespace

std::unique_ptr<BatchSystem> make_sge() {
  return std::make_unique<Sge>();
}

}  // namespace ipf
