#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/command.hpp"
#include "launcher/launcher.hpp"
#include "launcher/launcher_settings.hpp"

namespace ipf {

enum class JobState { queued, running, ended };

/// One task of a job as its system lists it; `number` is nothing for a job that is no array.
struct JobTask {
  std::optional<int> number{};
  JobState state{JobState::queued};
  ExitStatus status{.code = 0, .signal = 0, .known = false};
  std::string text{};  ///< what the system calls it: "FAILED (NonZeroExitCode)"
  bool stuck{};        ///< it will never run, but has to be removed
};

/// A job that one of our own scripts describes.
struct BatchJob {
  LauncherRole role{LauncherRole::engines};
  int n{1};      ///< engines
  bool array{};  ///< one task for each engine
  std::string name{};
  std::string queue{};
  std::string walltime{};
  std::vector<std::string> options{};  ///< more directives, without their prefix
  std::filesystem::path script{};      ///< where the script will be
  std::string log_stem{};              ///< of an array: "-<task>.log" follows, else ".log"
  std::string setup{};                 ///< shell lines: environment and directory
  std::string command{};               ///< shell words of the program
  std::vector<EnvironmentChange> environment{};
  std::filesystem::path work_dir{};
};

/// What one batch system wants: the names of its commands, the directives of a script, what its
/// commands answer. Holds the settings only this system knows; else without state.
class BatchSystem {
 public:
  struct Names {
    std::string kind{};       ///< "slurm"
    std::string prefix{};     ///< of the class: "Slurm"
    std::string scripts{};    ///< file names of the scripts: "slurm" gives slurm_engines-7
    std::string extension{};  ///< ".sbatch"
    std::string file_name{};  ///< a whole name instead, from an own setting
    std::vector<std::string> submit{};
    std::vector<std::string> remove{};
    std::vector<std::string> signal{};  ///< empty: the system cannot signal
    std::string job_id_regexp{"([0-9]+)"};
    int job_id_group{1};
    int first_task{1};       ///< number of the first task of an array
    std::string walltime{};  ///< what a time limit looks like, for an error text
  };

  BatchSystem() = default;
  BatchSystem(const BatchSystem&) = delete;
  BatchSystem& operator=(const BatchSystem&) = delete;
  virtual ~BatchSystem() = default;

  [[nodiscard]] virtual Names names() const = 0;

  /// Reads the settings that only this system has.
  virtual void read(LauncherSettings& /*settings*/) {}

  /// These settings as names for templates.
  virtual void add_names(nlohmann::json& /*scope*/) const {}

  /// Whether engines are one array by default; false: the system starts n engines in one job.
  [[nodiscard]] virtual bool uses_arrays() const { return true; }

  [[nodiscard]] virtual Result<std::string> script(const BatchJob& job) const = 0;

  /// The name of the log of one task, as script() sets it.
  [[nodiscard]] virtual std::string log_of(const BatchJob& job, int task) const;

  /// Arguments of the submit command; and whether it reads the script from stdin.
  [[nodiscard]] virtual std::vector<std::string> submit_arguments(const std::string& script) const {
    return {script};
  }
  [[nodiscard]] virtual bool script_on_stdin() const { return false; }

  /// How commands name a task.
  [[nodiscard]] virtual std::string task_id(const std::string& job, std::optional<int> task) const {
    return task ? job + "[" + std::to_string(*task) + "]" : job;
  }

  /// The command that lists the tasks; empty: the system cannot be asked.
  [[nodiscard]] virtual std::vector<std::string> query(const std::string& job) const = 0;

  /// Reads its answer. Nothing: there was no usable answer (the system is busy or down); a task
  /// that is not in the list has ended. An entry without a number stands for all tasks that have
  /// none of their own.
  virtual std::optional<std::vector<JobTask>> tasks(const std::string& job,
                                                    const CommandOutcome& answer) = 0;

  [[nodiscard]] virtual std::vector<std::string> signal_arguments(int number,
                                                                  const std::string& target,
                                                                  const std::string& script) const;

  /// Arguments for the remove command, and a command for what does not end by it.
  [[nodiscard]] virtual std::vector<std::string> remove_arguments(const std::string& target) const {
    return {target};
  }
  [[nodiscard]] virtual std::vector<std::string> kill_command(const std::string& target) const = 0;
};

/// The word quoted for sh, if it needs it.
std::string shell_word(std::string_view word);
std::string shell_words(const std::vector<std::string>& words);

/// `#!/bin/sh`, the directives with their prefix, the setup and the command.
std::string shell_script(const std::string& prefix,
                         const std::vector<std::string>& directives,
                         const std::string& body);

/// The directives of a job's own options, appended.
void append(std::vector<std::string>& directives, const std::vector<std::string>& more);

/// Seconds of "90" (minutes), "30:00" and "1:30:00"; nothing for other forms.
std::optional<long> walltime_seconds(const std::string& walltime);

/// Non-empty lines, each split at `separator`.
std::vector<std::vector<std::string>> table(std::string_view text, char separator);

std::unique_ptr<BatchSystem> make_slurm();
std::unique_ptr<BatchSystem> make_sge();
std::unique_ptr<BatchSystem> make_pbs();
std::unique_ptr<BatchSystem> make_lsf();
std::unique_ptr<BatchSystem> make_htcondor();
std::unique_ptr<BatchSystem> make_windows_hpc();
std::unique_ptr<BatchSystem> make_generic_batch();

}  // namespace ipf
