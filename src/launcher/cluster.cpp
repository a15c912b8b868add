#include "launcher/cluster.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "core/process_info.hpp"
#include "launcher/cluster_status.hpp"
#include "launcher/remote_parts.hpp"

namespace ipf {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration file_poll_step = milliseconds{2};
constexpr Duration registration_poll_step = milliseconds{4};
constexpr Duration stop_poll_step = milliseconds{5};
constexpr Duration supervise_step = seconds{60};
constexpr Duration progress_step = milliseconds{200};
constexpr Duration kill_wait = seconds{2};
constexpr std::size_t lines_of_controller_log = 20;
constexpr std::size_t lines_of_engine_log = 10;

std::string with_log_end(const std::string& text,
                         const std::filesystem::path& log,
                         std::size_t lines) {
  const std::string end = last_lines(log, lines);
  return text + (end.empty() ? "; its log " + log.string() + " is empty"
                             : "; the end of its log " + log.string() + ":\n" + end);
}

/// Whether the user has told the controller where to listen.
bool names_address(const std::vector<std::string>& args) {
  return std::ranges::any_of(args, [](const std::string& arg) {
    return arg.starts_with("--ip") || arg.find("engine_ip=") != std::string::npos;
  });
}

std::filesystem::path first_file(const Launcher& launcher) {
  const auto files = launcher.output_files();
  return files.empty() ? std::filesystem::path{} : files.front();
}

std::string in_seconds(Duration duration) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f s",
                std::chrono::duration<double>(duration).count());
  return text.data();
}

Error running_already(const ProfilePaths& paths,
                      const ClusterStatus& status,
                      const ClusterRecord& record) {
  const std::string file = paths.cluster_file().string();
  if (status.liveness == Liveness::elsewhere) {
    return {ErrorCode::unavailable, "the cluster is recorded as running on host '" +
                                        printable(record.machine->host) +
                                        "'; stop it there, or remove " + file + " if it is gone"};
  }
  std::string pids;
  for (const ProcessId& process : status.all()) {
    pids += (pids.empty() ? "" : ", ") + std::to_string(process.pid);
    if (constexpr std::size_t enough = 60; pids.size() > enough) {
      pids += ", ...";
      break;
    }
  }
  const std::string where = pids.empty() ? record.engines_kind : "pids " + pids;
  return {ErrorCode::unavailable, "the cluster is already running (" + where + "), see " + file +
                                      "; `ipcluster stop` stops it"};
}

Result<void> refuse_running(const ProfilePaths& paths,
                            const ClusterStatus& status,
                            const ClusterRecord& record) {
  constexpr Duration patience = seconds{10};
  if (status.liveness == Liveness::stopped ||
      (status.only_remote() && !RemoteParts(record).run(patience))) {
    return {};
  }
  return unexpected(running_already(paths, status, record));
}

}  // namespace

std::string unused_set_id(const ProfilePaths& paths) {
  std::int64_t id = wall_now().microseconds / 1'000'000;
  std::error_code failure;
  const auto log = [&] {
    return paths.log() / ("ipengine-" + paths.cluster_id + "-" + std::to_string(id) + "-0.log");
  };
  while (std::filesystem::exists(log(), failure)) {
    ++id;
  }
  return std::to_string(id);
}

Result<void> check_not_running(const ProfilePaths& paths) {
  const Result<KnownCluster> known = find_cluster(paths);
  return known ? refuse_running(paths, known->status, known->record) : Result<void>{};
}

Cluster::Cluster(ClusterOptions options, ClusterHooks hooks, Log& log)
    : options_(std::move(options)),
      hooks_(std::move(hooks)),
      log_(log),
      connection_files_(options_.paths, options_.controller_args) {}

Result<void> Cluster::run() {
  signals_.emplace({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD});
  started_ = steady_now();
  IPF_TRY(prepare());
  Result<void> outcome = start_and_supervise();
  log_.info("Stopping cluster");
  if (stop_all()) {
    remove_files();
    log_.info("Cluster stopped");
  }
  if (stop_requested_) {
    return {};
  }
  return outcome;
}

Result<void> Cluster::prepare() {
  const ProfilePaths& paths = options_.paths;
  IPF_TRY(make_profile(paths));
  LaunchOptions controller{.paths = paths,
                           .command = options_.controller_command,
                           .args = options_.controller_args,
                           .settings_json = options_.controller_settings};
  if (!options_.ip.empty()) {
    controller.args.push_back("--ip=" + options_.ip);
  }
  if (!options_.location.empty()) {
    controller.args.push_back("--location=" + options_.location);
  }
  set_id_ = unused_set_id(paths);
  const LaunchOptions engines{.paths = paths,
                              .command = options_.engine_command,
                              .args = options_.engine_args,
                              .work_dir = {},
                              .set_id = set_id_,
                              .fork_server = options_.fork_server,
                              .fork_server_args = options_.fork_server_args,
                              .settings_json = options_.engine_settings};
  auto controller_launcher =
      make_launcher(LauncherRole::controller, options_.controller_launcher, std::move(controller));
  if (!controller_launcher) {
    return unexpected(controller_launcher.error());
  }
  auto engine_launcher = make_launcher(LauncherRole::engines, options_.engine_launcher, engines);
  if (!engine_launcher) {
    return unexpected(engine_launcher.error());
  }
  controller_ = std::move(*controller_launcher);
  engines_ = std::move(*engine_launcher);

  log_.info("Creating pid file: " + paths.pid_file().string());
  Result<PidFile> pid_file = PidFile::create(paths.pid_file());
  if (!pid_file) {
    return unexpected(pid_file.error());
  }
  pid_file_ = std::move(*pid_file);
  const Result<ClusterRecord> old = read_cluster_file(paths.cluster_file());
  if (old) {
    IPF_TRY(refuse_running(paths, inspect(*old), *old));
    log_.info("Nothing of the cluster in " + paths.cluster_file().string() + " runs: replacing it");
  } else if (old.error().code != ErrorCode::not_found) {
    log_.warning(old.error().message + ": replacing it");
  }
  return connection_files_.remove_stale();
}

Result<void> Cluster::start_and_supervise() {
  IPF_TRY(start_controller());
  const TimePoint engines_due = steady_now() + options_.delay;
  while (!interrupted() && steady_now() < engines_due) {
    pump(engines_due - steady_now());
  }
  if (!interrupted()) {
    IPF_TRY(start_engines());
    IPF_TRY(wait_for_engines());
  }
  return supervise();
}

Result<void> Cluster::start_controller() {
  log_.info("Starting Controller with " + controller_->class_name());
  IPF_TRY(controller_->start(1));
  IPF_TRY(write_file());
  TimePoint deadline = steady_now() + options_.connection_timeout;
  while (!connection_files_.ready()) {
    if (controller_->queued()) {  // a batch system may have it wait for hours
      deadline = steady_now() + options_.connection_timeout;
    }
    if (interrupted()) {
      return {};
    }
    if (steady_now() >= deadline) {
      return unexpected(ErrorCode::timed_out,
                        with_log_end("the controller did not write " + connection_files_.missing() +
                                         " within " + in_seconds(options_.connection_timeout),
                                     first_file(*controller_), lines_of_controller_log));
    }
    pump(file_poll_step);
  }
  log_.debug("Controller ready after " + in_seconds(steady_now() - started_));
  return {};
}

Result<void> Cluster::start_engines() {
  log_.info("Starting " + std::to_string(options_.engines) + " Engines with " +
            engines_->class_name());
  const bool listens_here = options_.ip.empty() && !names_address(options_.controller_args);
  if (runs_elsewhere(engines_->state().kind) && listens_here) {
    log_.warning(
        "The controller listens on this machine only (--ip); engines on other hosts need "
        "an address they can reach, e.g. --ip=*");
  }
  engines_started_ = steady_now();
  const Result<void> started = engines_->start(options_.engines);
  IPF_TRY(write_file());  // also when some could not start: others may run
  if (!started) {
    return unexpected(started.error());
  }
  registration_logs_.watch(engines_->output_files());
  return {};
}

Result<void> Cluster::wait_for_engines() {
  const TimePoint deadline = engines_started_ + options_.engine_timeout;
  int registered = count_registered();
  for (;; registered = count_registered()) {
    report_progress(registered);
    IPF_TRY(check_early_end());
    if (interrupted()) {
      return {};
    }
    if (options_.all_or_nothing && engines_ended_ > 0) {
      return unexpected(ErrorCode::closed, first_end_);
    }
    if (registered >= options_.engines - engines_ended_) {
      break;
    }
    if (steady_now() >= deadline) {
      const std::string text = "only " + std::to_string(registered) + " of " +
                               std::to_string(options_.engines) + " engines registered within " +
                               in_seconds(options_.engine_timeout) + probe_failure_ +
                               "; the engines' logs are in " + options_.paths.log().string();
      if (options_.all_or_nothing && !engines_->queued()) {
        return unexpected(ErrorCode::timed_out, text);
      }
      log_.warning(text);
      break;
    }
    pump(registration_poll_step);
  }
  ready_ = true;
  hooks_.registered = {};  // its connection is not needed any more
  log_.info(std::to_string(registered) + " of " + std::to_string(options_.engines) +
            " engines registered, " + in_seconds(steady_now() - started_) + " after the start");
  if (hooks_.on_ready) {
    hooks_.on_ready();
  }
  return {};
}

Result<void> Cluster::supervise() {
  while (!interrupted()) {
    pump(supervise_step);
    IPF_TRY(check_early_end());
  }
  if (controller_failure_ && !stop_requested_) {
    return unexpected(*controller_failure_);
  }
  return {};
}

void Cluster::pump(Duration timeout) {
  const Duration step = std::min(controller_->poll_step(), engines_->poll_step());
  for (const int number : signals_->wait(std::min(timeout, step))) {
    handle_signal(number);
  }
  poll_launchers();
}

void Cluster::poll_launchers() {
  std::vector<LaunchExit> ended;
  controller_->poll(ended);
  for (const LaunchExit& exit : ended) {
    handle_controller_exit(exit);
  }
  std::vector<LaunchExit> engines_ended;
  engines_->poll(engines_ended);
  for (const LaunchExit& exit : engines_ended) {
    handle_engine_exit(exit);
  }
  for (Launcher* const launcher : {controller_.get(), engines_.get()}) {
    for (const std::string& text : launcher->take_warnings()) {
      log_.warning(text);
    }
  }
  const std::uint64_t version = controller_->state_version() + engines_->state_version();
  if ((!engines_ended.empty() || version != state_written_) && !stopping_) {
    state_written_ = version;
    if (const auto written = write_file(); !written) {
      log_.warning(written.error().message);
    }
  }
}

void Cluster::handle_signal(int number) {
  if (number == SIGUSR1 || number == SIGUSR2) {
    log_.debug("Forwarding " + signal_name(number) + " to the engines");
    if (const auto sent = engines_->signal(number); !sent) {
      log_.warning(sent.error().message);
    }
  } else if (number != SIGCHLD && !stop_requested_) {
    log_.info("Received " + signal_name(number));
    stop_requested_ = true;
  }
}

void Cluster::handle_engine_exit(const LaunchExit& exit) {
  if (stopping_) {
    return;
  }
  const std::optional<int> id = registered_id(exit.output_file);
  std::string text = exit.engines == 1 ? "Engine " + std::to_string(exit.index)
                                       : "The job of " + std::to_string(exit.engines) + " engines";
  text += " (" + (exit.pid == 0 ? std::string{} : "pid " + std::to_string(exit.pid) + ", ") +
          (id ? "id " + std::to_string(*id) : "not registered") +
          (exit.status.success() ? ") ended: " : ") died: ") + to_text(exit.status);
  if (!exit.detail.empty()) {
    text += "; " + exit.detail;
  }
  engines_ended_ += exit.engines;
  engines_failed_ += exit.status.success() ? 0 : exit.engines;
  if ((!exit.status.success() || !ready_) && !exit.output_file.empty()) {
    text = with_log_end(text, exit.output_file, lines_of_engine_log);
  }
  if (first_end_.empty()) {
    first_end_ = text;
  }
  log_.write(exit.status.success() ? LogLevel::info : LogLevel::warning, text);
  if (engines_ended_ == options_.engines && ready_) {
    log_.warning("No engine of this cluster is left; the controller still runs");
  }
}

void Cluster::handle_controller_exit(const LaunchExit& exit) {
  controller_ended_ = true;
  if (stopping_ || stop_requested_) {
    return;
  }
  const std::string text =
      "the controller " +
      (exit.pid == 0 ? std::string{} : "(pid " + std::to_string(exit.pid) + ") ") +
      "ended: " + to_text(exit.status) + (exit.detail.empty() ? "" : "; " + exit.detail);
  if (exit.status.success() && ready_) {
    log_.info(text);  // a client asked for it: Client.shutdown(hub=True)
    return;
  }
  controller_failure_ =
      Error{ErrorCode::closed, exit.output_file.empty()
                                   ? text
                                   : with_log_end(text, exit.output_file, lines_of_controller_log)};
}

Result<void> Cluster::check_early_end() const {
  const bool all_ended = options_.engines > 0 && engines_ended_ == options_.engines;
  const bool early = steady_now() - engines_started_ < options_.early_shutdown;
  // Engines that registered and left with exit(0) were shut down by a client: no failure.
  if (interrupted() || !all_ended || !early || (ready_ && engines_failed_ == 0)) {
    return {};
  }
  return unexpected(ErrorCode::closed, "all " + std::to_string(options_.engines) +
                                           " engines ended early, so the cluster is torn down. " +
                                           first_end_);
}

int Cluster::count_registered() {
  if (hooks_.registered) {
    const Result<int> registered = hooks_.registered(options_.paths);
    if (registered) {
      probe_failure_.clear();
      return *registered;
    }
    probe_failure_ = " (" + registered.error().message + ")";
  }
  return registration_logs_.count();
}

void Cluster::report_progress(int registered) {
  const TimePoint now = steady_now();
  const bool complete = registered >= options_.engines;
  if (registered == progress_shown_ || (!complete && now - progress_shown_at_ < progress_step)) {
    return;
  }
  progress_shown_ = registered;
  progress_shown_at_ = now;
  if (hooks_.on_progress) {
    hooks_.on_progress(registered, options_.engines);
  }
}

void Cluster::stop_both(StopLevel level) {
  for (Launcher* const launcher : {engines_.get(), controller_.get()}) {
    if (const auto stopped = launcher->stop(level); !stopped) {
      log_.warning(stopped.error().message);
    }
  }
}

bool Cluster::stop_all() {
  stopping_ = true;
  stop_both(StopLevel::graceful);
  const auto grace_of = [this](const Launcher& launcher) {
    return std::max(options_.stop_grace, launcher.stop_grace());
  };
  const Duration grace = std::max(grace_of(*engines_), grace_of(*controller_));
  if (wait_until_stopped(grace)) {
    return true;
  }
  log_.warning("Some processes still run " + in_seconds(grace) + " after SIGTERM: sending SIGKILL");
  stop_both(StopLevel::kill);
  if (wait_until_stopped(kill_wait)) {
    return true;
  }
  log_.error("Some processes do not end, see " + options_.paths.cluster_file().string());
  return false;
}

bool Cluster::wait_until_stopped(Duration limit) {
  const TimePoint deadline = steady_now() + limit;
  while (engines_->running() || controller_->running()) {
    if (steady_now() >= deadline) {
      return false;
    }
    pump(stop_poll_step);
  }
  return true;
}

void Cluster::remove_files() {
  std::error_code failure;
  {
    const ClusterFileLock lock(options_.paths.cluster_file());
    std::filesystem::remove(options_.paths.cluster_file(), failure);
  }
  connection_files_.remove_left_over();
  pid_file_.remove();
}

Result<void> Cluster::write_file() const {
  ClusterRecord record{.cluster_id = options_.paths.cluster_id,
                       .profile_dir = options_.paths.dir.string(),
                       .controller_args = options_.controller_args,
                       .controller_ip = options_.ip,
                       .controller_location = options_.location,
                       .delay_seconds = std::chrono::duration<double>(options_.delay).count(),
                       .engines_wanted = options_.engines,
                       .controller = controller_->state(),
                       .engines_kind = engines_->state().kind};
  if (LauncherState set = engines_->state(); !set.state_json.empty()) {
    record.engine_sets.emplace(set_id_, std::move(set));
  }
  const ClusterFileLock lock(options_.paths.cluster_file());
  // Sets that `ipcluster engines` has added stay in the file.
  if (const auto old = read_cluster_file(options_.paths.cluster_file());
      old && old->ipcluster && old->ipcluster->pid == getpid()) {
    for (const auto& [id, set] : old->engine_sets) {
      if (id != set_id_) {
        record.engine_sets.emplace(id, set);
      }
    }
  }
  record.ipcluster = ProcessId{getpid(), process_start_ticks(getpid())};
  record.machine = this_machine();
  return write_cluster_file(options_.paths.cluster_file(), record);
}

}  // namespace ipf
