#include "launcher/mpi.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

#include <nlohmann/json.hpp>

#include "launcher/launcher_settings.hpp"

namespace ipf {

using nlohmann::json;

MpiLauncher::MpiLauncher(LauncherRole role,
                         LaunchOptions options,
                         std::vector<std::string> mpi_cmd,
                         std::vector<std::string> mpi_args)
    : role_(role),
      options_(std::move(options)),
      mpi_cmd_(std::move(mpi_cmd)),
      mpi_args_(std::move(mpi_args)) {}

std::string MpiLauncher::class_name() const {
  return launcher_class_name("MPI", role_);
}

Result<void> MpiLauncher::start(int engines) {
  const bool controller = role_ == LauncherRole::controller;
  engines_ = controller ? 1 : engines;
  if (engines_ == 0) {
    return {};
  }
  LaunchOptions launched = options_;
  launched.command = mpi_cmd_;
  launched.command.insert(launched.command.end(), {"-n", std::to_string(engines_)});
  for (const std::vector<std::string>* const part : {&mpi_args_, &options_.command}) {
    launched.command.insert(launched.command.end(), part->begin(), part->end());
  }
  if (!controller) {
    launched.command.emplace_back("--mpi");
  }
  return table_.spawn(0, launched,
                      controller ? controller_log(options_) : engine_log(options_, "mpi"));
}

void MpiLauncher::poll(std::vector<LaunchExit>& ended) {
  const auto before = static_cast<std::ptrdiff_t>(ended.size());
  table_.poll(ended);
  std::for_each(ended.begin() + before, ended.end(),
                [this](LaunchExit& exit) { exit.engines = engines_; });
}

bool MpiLauncher::running() {
  return table_.running();
}

bool MpiLauncher::can_signal(int number, std::optional<int> index) const {
  return !index &&
         (number == SIGUSR1 || number == SIGUSR2 || number == SIGTERM || number == SIGKILL);
}

Unexpected MpiLauncher::no_single_engine() const {
  return unexpected(ErrorCode::unavailable,
                    class_name() +
                        " cannot address one engine: mpiexec starts and ends them as one "
                        "job");
}

Result<void> MpiLauncher::signal(int number, std::optional<int> index) {
  if (index) {
    return no_single_engine();
  }
  if (!can_signal(number, index)) {
    return unexpected(ErrorCode::unavailable,
                      "mpiexec does not pass " + signal_name(number) + " on to its processes");
  }
  return table_.signal(number, std::nullopt);
}

Result<void> MpiLauncher::stop(StopLevel level, std::optional<int> index) {
  if (index) {
    return no_single_engine();
  }
  return table_.stop(level, std::nullopt);
}

LauncherState MpiLauncher::state() const {
  LauncherState out{.kind = "mpi"};
  for (const ProcessTable::Entry& entry : table_.entries()) {
    if (!entry.exit_reported) {
      json state = process_state(options_, entry);
      state["n"] = engines_;
      out.state_json = dump_state(state);
      out.engines = role_ == LauncherRole::controller ? 0 : engines_;
      out.processes.push_back(entry.process.id());
    }
  }
  return out;
}

Result<void> MpiLauncher::restore(const std::string& state_json) {
  const json state = json::parse(state_json, nullptr, false);
  auto entry = restored_entry(0, state, options_.paths);
  if (!entry) {
    return nothing_runs(class_name());
  }
  table_.add(std::move(*entry));
  const auto engines = state.find("n");
  engines_ = engines != state.end() && engines->is_number_integer() ? engines->get<int>() : 1;
  return {};
}

std::vector<std::filesystem::path> MpiLauncher::output_files() const {
  return table_.output_files();
}

Result<std::unique_ptr<Launcher>> make_mpi_launcher(LauncherRole role, LaunchOptions options) {
  std::vector<std::string> command{"mpiexec"};
  std::vector<std::string> args;
  LauncherSettings settings(launcher_class_name("MPI", role), options.settings_json);
  settings.read_common(role, options);
  settings.read("mpi_cmd", command);
  settings.read("mpi_args", args);
  IPF_TRY(settings.finish());
  if (command.empty()) {
    return unexpected(ErrorCode::invalid_argument, "mpi_cmd is empty");
  }
  return std::unique_ptr<Launcher>{
      std::make_unique<MpiLauncher>(role, std::move(options), std::move(command), std::move(args))};
}

}  // namespace ipf
