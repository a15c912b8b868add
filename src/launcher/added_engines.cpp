#include "launcher/added_engines.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <system_error>
#include <utility>

#include "launcher/cluster_file.hpp"

namespace ipf {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration starting_step = milliseconds{20};
constexpr Duration supervise_step = seconds{1};  // to see that the cluster has ended
constexpr Duration stop_step = milliseconds{10};
constexpr Duration kill_wait = seconds{2};
constexpr std::size_t lines_of_log = 10;

}  // namespace

AddedEngines::AddedEngines(ClusterOptions options, ClusterHooks hooks, Log& log)
    : options_(std::move(options)), hooks_(std::move(hooks)), log_(log) {}

Result<void> AddedEngines::run() {
  signals_.emplace({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD});
  IPF_TRY(make_profile(options_.paths));
  if (hooks_.registered) {
    if (const Result<int> before = hooks_.registered(options_.paths)) {
      registered_before_ = *before;
    }
  }
  const Result<void> started = start();
  while (started && !stop_requested_ && engines_->running()) {
    report_registered();
    pump(ready_ ? supervise_step : starting_step);
    std::error_code failure;
    if (cluster_known_ && !std::filesystem::exists(options_.paths.cluster_file(), failure)) {
      log_.info("The cluster has ended");
      stop_requested_ = true;
    }
  }
  const bool all_gone = stop();
  if (engines_) {
    pump(Duration{0});  // the last ends, too
  }
  if (cluster_known_ && std::filesystem::exists(options_.paths.cluster_file())) {
    record();
  }
  IPF_TRY(started);
  if (!all_gone) {
    return unexpected(ErrorCode::timed_out, "some of the added engines do not end");
  }
  if (!stop_requested_ && failed_ == options_.engines && failed_ > 0) {
    return unexpected(ErrorCode::closed, "all added engines ended. " + first_end_);
  }
  return {};
}

Result<void> AddedEngines::start() {
  set_id_ = unused_set_id(options_.paths);
  auto launcher = make_launcher(LauncherRole::engines, options_.engine_launcher,
                                {.paths = options_.paths,
                                 .command = options_.engine_command,
                                 .args = options_.engine_args,
                                 .set_id = set_id_,
                                 .fork_server = options_.fork_server,
                                 .fork_server_args = options_.fork_server_args,
                                 .settings_json = options_.engine_settings});
  if (!launcher) {
    return unexpected(launcher.error());
  }
  engines_ = std::move(*launcher);
  log_.info("Starting " + std::to_string(options_.engines) + " Engines with " +
            engines_->class_name());
  const Result<void> started = engines_->start(options_.engines);
  logs_.watch(engines_->output_files());
  record();
  return started;
}

void AddedEngines::report_registered() {
  if (ready_) {
    return;
  }
  int registered = logs_.count();
  if (hooks_.registered) {
    if (const Result<int> now = hooks_.registered(options_.paths)) {
      registered = std::max(registered, *now - registered_before_.value_or(*now));
    }
  }
  ready_ = registered >= options_.engines - ended_;
  if (ready_) {
    log_.info(std::to_string(options_.engines) + " engines added");
    hooks_.registered = {};
    if (hooks_.on_ready) {
      hooks_.on_ready();
    }
  }
}

void AddedEngines::pump(Duration timeout) {
  for (const int number : signals_->wait(std::min(timeout, engines_->poll_step()))) {
    if (number == SIGUSR1 || number == SIGUSR2) {
      if (const auto sent = engines_->signal(number); !sent) {
        log_.warning(sent.error().message);
      }
    } else if (number != SIGCHLD && !stop_requested_) {
      log_.info("Received " + signal_name(number));
      stop_requested_ = true;
    }
  }
  std::vector<LaunchExit> ended;
  engines_->poll(ended);
  for (const LaunchExit& exit : ended) {
    handle_exit(exit);
  }
  for (const std::string& text : engines_->take_warnings()) {
    log_.warning(text);
  }
  if (!ended.empty() || engines_->state_version() != recorded_version_) {
    record();
  }
}

void AddedEngines::handle_exit(const LaunchExit& exit) {
  ended_ += exit.engines;
  failed_ += exit.status.success() ? 0 : exit.engines;
  if (stop_requested_) {
    return;
  }
  std::string text = "Engine " + std::to_string(exit.index) + " ended: " + to_text(exit.status);
  text += exit.detail.empty() ? "" : "; " + exit.detail;
  if (!exit.status.success() && !exit.output_file.empty()) {
    text += "; the end of its log " + exit.output_file.string() + ":\n" +
            last_lines(exit.output_file, lines_of_log);
  }
  if (first_end_.empty()) {
    first_end_ = text;
  }
  log_.write(exit.status.success() ? LogLevel::info : LogLevel::warning, text);
}

void AddedEngines::record() {
  if (!engines_) {
    return;
  }
  recorded_version_ = engines_->state_version();
  const Result<void> recorded =
      record_engine_set(options_.paths.cluster_file(), set_id_, engines_->state());
  // Without a file the controller was started by other means.
  cluster_known_ = cluster_known_ || recorded || recorded.error().code != ErrorCode::not_found;
  if (!recorded && recorded.error().code != ErrorCode::not_found) {
    log_.warning(recorded.error().message);
  }
}

bool AddedEngines::stop() {
  if (!engines_) {
    return true;
  }
  const Duration grace = std::max(options_.stop_grace, engines_->stop_grace());
  for (const StopLevel level : {StopLevel::graceful, StopLevel::kill}) {
    if (!engines_->running()) {
      return true;
    }
    if (const auto stopped = engines_->stop(level); !stopped) {
      log_.warning(stopped.error().message);
    }
    const TimePoint deadline = steady_now() + (level == StopLevel::graceful ? grace : kill_wait);
    while (engines_->running() && steady_now() < deadline) {
      pump(stop_step);
    }
  }
  return !engines_->running();
}

}  // namespace ipf
