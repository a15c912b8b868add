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
#include <variant>

#include "core/text.hpp"
#include "engine/connection_source.hpp"
#include "engine/engine_channels.hpp"
#include "engine/engine_reactor.hpp"
#include "engine/fork_server.hpp"
#include "engine/kernel_ports.hpp"
#include "engine/nanny.hpp"
#include "engine/output_capture.hpp"
#include "engine/python_host.hpp"
#include "engine/python_location.hpp"
#include "engine/termination_signal.hpp"
#include "net/log_spdlog.hpp"
#include "protocol/kernel_file.hpp"

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

int run_threads(ReactorOptions reacting, PythonOptions python, Log& log) {
  if (reacting.capture != nullptr) {
    reacting.capture->redirect();
  }
  EngineChannels channels({.request_bytes_max = reacting.output_bytes_max});
  EngineReactor reactor(std::move(reacting), channels, log);
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
Result<std::unique_ptr<Log>> open_log(const EngineOptions& options,
                                      const ProfilePaths& paths,
                                      bool kernel) {
  LogOptions log{.name = "IPEngine", .level = options.log_level};
  if (kernel && !options.log_level_given) {
    log.level = LogLevel::warning;  // its terminal belongs to the frontend
  }
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

PythonOptions python_options(const EngineOptions& options,
                             const ProfilePaths& paths,
                             const PythonLocation& location,
                             const EngineSeat& seat) {
  return {.executable = location.executable,
          .uuid = identity_of(options, seat),
          .username = options.username.empty() ? user_name() : options.username,
          .startup_command = options.startup_command,
          .startup_script = options.startup_script,
          .profile_dir = std::filesystem::exists(paths.dir) ? paths.dir.string() : std::string(),
          .use_mpi = options.use_mpi,
          .mpi_module = options.mpi_module,
          .traits = options.traits};
}

int fail(Log& log, int status, const std::string& text) {
  log.error(text);
  return status;
}

/// True when no controller is wanted: by option, or because the file is a kernel's.
bool is_kernel(const EngineOptions& options, const ProfilePaths& paths) {
  if (options.kernel) {
    return true;
  }
  constexpr std::size_t file_bytes_max = 1UL << 20U;
  const auto text = options.connection_file.empty() || !options.connection_text.empty()
                        ? Result<std::string>(std::string())
                        : read_text_file(connection_file(options, paths), file_bytes_max);
  return text && is_kernel_connection(*text);
}

int run_kernel(const EngineOptions& options,
               const ProfilePaths& paths,
               const std::filesystem::path& file,
               Log& log) {
  const auto location = locate_python(PythonSearch::here());
  if (!location) {
    return fail(log, status_failed, location.error().message);
  }
  PythonOptions python = python_options(options, paths, *location, {});
  python.is_kernel = true;
  auto kernel = open_kernel(file, {.uuid = python.uuid, .username = python.username});
  if (!kernel) {
    return fail(log, status_failed, kernel.error().message);
  }
  announce(*kernel);
  python.kernel = {.file = kernel->file.string(),
                   .text = kernel_connection_text(kernel->link->connection())};
  auto capture = OutputCapture::create();
  if (!capture) {
    log.warning(capture.error().message);
  }
  const ParentWatch parent;
  ReactorOptions io{.machine = {},
                    .uuid = python.uuid,
                    .username = python.username,
                    .kernel = std::move(kernel->link),
                    .frontend_fd = parent.fd(),
                    .capture = capture ? capture->get() : nullptr,
                    .output_bytes_max = options.output_bytes_max};
  if (io.capture != nullptr) {
    io.capture->keep_to_itself();
  }
  return run_threads(std::move(io), std::move(python), log);
}

/// What an engine is and has when its process begins.
struct EngineProcess {
  EngineSeat seat{};
  std::unique_ptr<OutputCapture> capture{};
};

/// Everything behind the nanny.
int live(const EngineOptions& options,
         const ProfilePaths& paths,
         const std::filesystem::path& file,
         const EngineProcess& process,
         Log& log) {
  const auto location = locate_python(PythonSearch::here());
  if (!location) {
    return fail(log, status_failed, location.error().message);
  }
  log.debug("Python is " + location->executable.string() + " (" + location->why + ")");
  ConnectionSource source(options, file, log);
  auto found = source.find();
  if (!found) {
    return fail(log,
                found.error().code == ErrorCode::timed_out ? status_not_registered : status_failed,
                found.error().message);
  }
  const EngineSeat& seat = process.seat;
  PythonOptions python = python_options(options, paths, *location, seat);
  ReactorOptions io{.machine = {.registration_timeout = options.registration_timeout,
                                .missed_pings_max = options.missed_pings_max,
                                .reconnect_timeout = options.reconnect_timeout},
                    .connection = std::move(found->info),
                    .ports_from_reply = found->ports_from_reply,
                    .uuid = python.uuid,
                    .username = python.username,
                    .wanted_id = seat.wanted_id ? seat.wanted_id : options.wanted_id,
                    .resources = options.resources,
                    .nanny_fd = seat.link_fd,
                    .watch = &source,
                    .capture = process.capture.get(),
                    .output_bytes_max = options.output_bytes_max};
  return run_threads(std::move(io), std::move(python), log);
}

int enter_work_dir(const EngineOptions& options, Log& log) {
  if (!options.work_dir.empty() && chdir(options.work_dir.c_str()) != 0) {
    return fail(log, status_usage, "--work-dir " + options.work_dir + ": " + errno_text(errno));
  }
  return 0;
}

void set_gpus(const EngineOptions& options) {
  if (!options.gpus.empty()) {
    // Before any thread and before Python, which hands it on to whatever it starts.
    setenv("CUDA_VISIBLE_DEVICES", options.gpus.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  }
}

/// In a fork of the fork server: becomes the engine that its nanny asked for.
int run_forked(const ForkedEngine& forked) {
  const auto [link, out, err, out_read, out_write, err_read, err_write] = forked.descriptors;
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  close(out);
  close(err);
  if (chdir(forked.request.work_dir.c_str()) != 0) {
    return status_failed;
  }
  enter_environment(forked.request.environment);
  const auto parsed = parse_engine_options(forked.request.arguments);
  const auto* options = std::get_if<EngineOptions>(&parsed);
  const auto paths = options == nullptr
                         ? unexpected(ErrorCode::invalid_argument, "unusable options")
                         : locate_profile(options->profile);
  auto log = paths ? open_log(*options, *paths, false)
                   : Result<std::unique_ptr<Log>>(unexpected(paths.error()));
  if (!log) {
    return fail(**make_log({.name = "IPEngine"}), status_usage, log.error().message);
  }
  set_gpus(*options);
  EngineProcess process{
      .seat = {.link_fd = link, .generation = forked.request.generation, .wanted_id = {}},
      .capture = OutputCapture::adopt({out_read, out_write, err_read, err_write})};
  if (forked.request.wanted_id >= 0) {
    process.seat.wanted_id = EngineId{forked.request.wanted_id};
  }
  // The nanny is in its working directory already.
  return live(*options, *paths, forked.request.file, process, **log);
}

int run_fork_server(const EngineOptions& options, Log& log) {
  const auto location = locate_python(PythonSearch::here());
  if (!location) {
    return fail(log, status_failed, location.error().message);
  }
  const auto forked = serve_forks(
      {.name = options.fork_server, .python = location->executable, .preload = options.preload},
      log);
  if (!forked) {
    return fail(log, status_failed, forked.error().message);
  }
  // The server itself ends without tidying up a Python that nobody needs any more.
  return *forked ? run_forked(**forked) : 0;
}

}  // namespace

int run_engine(const EngineOptions& options, const ProcessStart& start) {
  const auto paths = locate_profile(options.profile);
  const bool kernel = paths && is_kernel(options, *paths);
  auto log = paths ? open_log(options, *paths, kernel)
                   : Result<std::unique_ptr<Log>>(unexpected(paths.error()));
  if (!log) {
    return fail(**make_log({.name = "IPEngine"}), status_usage, log.error().message);
  }
  if (!options.fork_server.empty()) {
    return run_fork_server(options, **log);
  }
  set_gpus(options);
  const auto file = connection_file(options, *paths);
  const auto kernel_file = options.connection_file.empty()
                               ? std::filesystem::path()
                               : std::filesystem::absolute(options.connection_file);
  if (const int status = enter_work_dir(options, **log); status != 0) {
    return status;
  }
  if (kernel) {
    return run_kernel(options, *paths, kernel_file, **log);
  }
  EngineProcess process;
  if (auto made = OutputCapture::create()) {
    process.capture = std::move(*made);
  } else {
    (*log)->warning(made.error().message);
  }
  if (options.with_nanny) {
    const auto split = split_nanny({.restart = restart_options(options, **log),
                                    .memory_limit = options.memory_limit,
                                    .fork_from = options.fork_from,
                                    .start = start,
                                    .file = file.string()},
                                   **log, process.capture);
    if (!split) {
      return fail(**log, status_failed, split.error().message);
    }
    process.seat = *split;
  }
  return live(options, *paths, file, process, **log);
}

}  // namespace ipf::engine
