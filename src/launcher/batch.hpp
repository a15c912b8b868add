#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "launcher/batch_system.hpp"
#include "launcher/command.hpp"
#include "launcher/launcher.hpp"

namespace ipf {

/// What a user can set for every batch system.
struct BatchSettings {
  std::string queue{};
  std::string walltime{};        ///< `timelimit` is the same
  std::string options{};         ///< more directives, one a line, without their prefix
  std::string batch_template{};  ///< a whole script; beats ours
  std::string batch_template_file{};
  std::string batch_file_name{};
  std::string output_file{};
  nlohmann::json name_space = nlohmann::json::object();
  double poll_seconds{3};
};

/// Submits one job, for a controller or for all engines of a set, and asks its batch system every
/// few seconds what became of it. The engines of our own scripts are the tasks of one array: each
/// joins as it starts, and can be signalled and removed alone.
///
/// Every command (submit, query, signal, remove) runs beside the caller with a limit of a minute.
class BatchLauncher final : public Launcher {
 public:
  BatchLauncher(LauncherRole role,
                LaunchOptions options,
                std::unique_ptr<BatchSystem> system,
                BatchSystem::Names names,
                BatchSettings settings);

  [[nodiscard]] std::string class_name() const override;
  Result<void> start(int engines) override;
  void poll(std::vector<LaunchExit>& ended) override;
  [[nodiscard]] Duration poll_step() const override;
  [[nodiscard]] Duration stop_grace() const override;
  bool running() override;
  [[nodiscard]] bool queued() const override;
  [[nodiscard]] bool can_signal(int number, std::optional<int> index) const override;
  using Launcher::signal;
  Result<void> signal(int number, std::optional<int> index) override;
  using Launcher::stop;
  Result<void> stop(StopLevel level, std::optional<int> index) override;
  [[nodiscard]] LauncherState state() const override;
  Result<void> restore(const std::string& state_json) override;
  [[nodiscard]] std::vector<std::filesystem::path> output_files() const override;

 private:
  struct Task {
    std::optional<int> number{};
    JobTask last{};
    bool seen{};
    bool reported{};
  };
  struct Pending {
    std::string name{};  ///< of the program, for a warning
    std::unique_ptr<Command> command{};
  };

  [[nodiscard]] BatchJob job(int engines) const;
  [[nodiscard]] Result<std::string> script(int engines);
  [[nodiscard]] nlohmann::json template_scope(int engines) const;
  Result<std::unique_ptr<Command>> run(const std::vector<std::string>& argv, std::string input);
  Result<void> run_aside(const std::vector<std::string>& argv);
  Result<void> run_remove(const std::string& task_id);
  [[nodiscard]] Result<std::string> target(std::optional<int> index) const;
  void remove();
  void finish_submission(const CommandOutcome& outcome, std::vector<LaunchExit>& ended);
  void ask();
  void take_answer(const CommandOutcome& outcome);
  void report(std::vector<LaunchExit>& ended);
  [[nodiscard]] std::string log_of(const Task& task) const;

  LauncherRole role_;
  LaunchOptions options_;
  std::unique_ptr<BatchSystem> system_;
  BatchSystem::Names names_;
  BatchSettings settings_;
  int engines_{};
  bool array_{};
  std::string script_text_{};
  std::string job_id_{};
  std::vector<Task> tasks_{};
  std::unique_ptr<Command> submission_{};
  std::unique_ptr<Command> query_{};
  std::vector<Pending> aside_{};
  TimePoint submitted_{};
  TimePoint next_query_{};
  std::optional<StopLevel> stop_{};
  bool removed_{};    ///< the remove command was given
  bool forgotten_{};  ///< nothing runs any more, as far as can be known
  int failed_queries_{};
};

/// Reads the settings and makes the launcher.
Result<std::unique_ptr<Launcher>> make_batch_launcher_of(std::unique_ptr<BatchSystem> system,
                                                         LauncherRole role,
                                                         LaunchOptions options);

template <std::unique_ptr<BatchSystem> (*MakeSystem)()>
Result<std::unique_ptr<Launcher>> make_batch_launcher(LauncherRole role, LaunchOptions options) {
  return make_batch_launcher_of(MakeSystem(), role, std::move(options));
}

}  // namespace ipf
