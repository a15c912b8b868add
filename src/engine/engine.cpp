#include "engine/engine.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>

#include "core/text.hpp"
#include "engine/connection_source.hpp"
#include "engine/engine_channels.hpp"
#include "engine/engine_reactor.hpp"
#include "engine/nanny.hpp"
#include "engine/output_capture.hpp"
#include "engine/python_host.hpp"
#include "engine/python_location.hpp"
#include "engine/termination_signal.hpp"
#include "net/log_spdlog.hpp"

namespace ipf::engine {

namespace {

constexpr int status_failed = 1;
constexpr int status_usage = 2;
constexpr int status_not_registered = 255;

/// Starts the IO thread with all signals blocked: they belong to the main thread.
std::jthread start_io(EngineReactor& reactor, int& status) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  std::jthread thread([&] { status = reactor.run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

std::filesystem::path connection_file(const EngineOptions& options, const ProfilePaths& paths) {
  if (options.connection_file.empty()) {
    return paths.engine_file();
  }
  const std::filesystem::path named(options.connection_file);
  std::error_code failure;
  // A bare name means a file in the profile, unless there is one right here.
  if (named.has_parent_path() || std::filesystem::exists(named, failure)) {
    return std::filesystem::absolute(named);
  }
  return paths.security() / named;
}

int run_threads(const EngineOptions& options,
                ConnectionSource& source,
                FoundConnection found,
                PythonOptions python,
                const EngineSeat& seat,
                OutputCapture* capture,
                Log& log) {
  if (capture != nullptr) {
    capture->redirect();
  }
  EngineChannels channels;
  EngineReactor reactor({.machine = {.registration_timeout = options.registration_timeout,
                                     .missed_pings_max = options.missed_pings_max},
                         .connection = std::move(found.info),
                         .ports_from_reply = found.ports_from_reply,
                         .uuid = python.uuid,
                         .username = options.username.empty() ? user_name() : options.username,
                         .wanted_id = seat.wanted_id ? seat.wanted_id : options.wanted_id,
                         .resources = options.resources,
                         .nanny_fd = seat.link_fd,
                         .watch = &source,
                         .capture = capture},
                        channels, log);
  int status = status_failed;
  {
    const std::jthread io = start_io(reactor, status);
    PythonHost(std::move(python), channels, log).run();
  }
  ignore_termination();
  return status;
}

/// The log writes to this process's stderr as it is now, and goes on to do so when descriptor 2 is
/// caught and sent to clients.
Result<std::unique_ptr<Log>> open_log(const EngineOptions& options, const ProfilePaths& paths) {
  LogOptions log{.name = "IPEngine", .level = options.log_level};
  if (options.log_to_file) {
    IPF_TRY(make_profile(paths));
    log.file =
        (paths.log() / ("ipengine" + paths.dashed_id() + "-" + std::to_string(getpid()) + ".log"))
            .string();
  }
  std::FILE* const real_stderr = fdopen(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), "w");
  if (real_stderr == nullptr) {
    return make_log(log);
  }
  // The log takes the stream that `stderr` is when it is made; glibc documents that it may be set.
  std::FILE* const before = stderr;
  stderr = real_stderr;
  auto made = make_log(log);
  stderr = before;
  return made;
}

/// An engine that takes another one's place is another engine: the controller must not take what it
/// knew of the old one for knowledge about the new one.
std::string identity_of(const EngineOptions& options, const EngineSeat& seat) {
  if (options.ident.empty()) {
    return new_session_id();
  }
  return seat.generation == 0 ? options.ident
                              : options.ident + "-" + std::to_string(seat.generation);
}

RestartOptions restart_options(const EngineOptions& options, Log& log) {
  RestartOptions out{.mode = options.restart, .limit = options.restart_limit};
  if (options.use_mpi && out.mode != RestartMode::never) {
    log.warning("--restart does not work with --mpi: an MPI job cannot replace a process");
    out.mode = RestartMode::never;
  }
  return out;
}

int fail(Log& log, int status, const std::string& text) {
  log.error(text);
  return status;
}

}  // namespace

int run_engine(const EngineOptions& options) {
  const auto paths = locate_profile(options.profile);
  auto log =
      paths ? open_log(options, *paths) : Result<std::unique_ptr<Log>>(unexpected(paths.error()));
  if (!log) {
    return fail(**make_log({.name = "IPEngine"}), status_usage, log.error().message);
  }
  if (!options.gpus.empty()) {
    // Before any thread and before Python, which hands it on to whatever it starts.
    setenv("CUDA_VISIBLE_DEVICES", options.gpus.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  }
  std::unique_ptr<OutputCapture> capture;
  if (auto made = OutputCapture::create()) {
    capture = std::move(*made);
  } else {
    (*log)->warning(made.error().message);
  }
  EngineSeat seat;
  const auto file = connection_file(options, *paths);
  if (options.with_nanny) {
    const auto split = split_nanny(
        {.restart = restart_options(options, **log), .memory_limit = options.memory_limit}, **log,
        capture);
    if (!split) {
      return fail(**log, status_failed, split.error().message);
    }
    seat = *split;
  }
  if (!options.work_dir.empty() && chdir(options.work_dir.c_str()) != 0) {
    return fail(**log, status_usage, "--work-dir " + options.work_dir + ": " + errno_text(errno));
  }
  const auto location = locate_python(PythonSearch::here());
  if (!location) {
    return fail(**log, status_failed, location.error().message);
  }
  (*log)->debug("Python is " + location->executable.string() + " (" + location->why + ")");
  ConnectionSource source(options, file, **log);
  auto found = source.find();
  if (!found) {
    return fail(**log,
                found.error().code == ErrorCode::timed_out ? status_not_registered : status_failed,
                found.error().message);
  }
  PythonOptions python{
      .executable = location->executable,
      .uuid = identity_of(options, seat),
      .startup_command = options.startup_command,
      .startup_script = options.startup_script,
      .profile_dir = std::filesystem::exists(paths->dir) ? paths->dir.string() : std::string(),
      .use_mpi = options.use_mpi,
      .mpi_module = options.mpi_module,
      .traits = options.traits};
  return run_threads(options, source, std::move(*found), std::move(python), seat, capture.get(),
                     **log);
}

}  // namespace ipf::engine
