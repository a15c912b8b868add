#include "engine/engine.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <variant>

#include "core/text.hpp"
#include "engine/connection_source.hpp"
#include "engine/engine_setup.hpp"
#include "engine/kernel_ports.hpp"
#include "engine/module_start.hpp"
#include "engine/nanny.hpp"
#include "engine/output_capture.hpp"
#include "engine/python_location.hpp"
#include "net/log_spdlog.hpp"

namespace ipf::engine {

namespace {

constexpr int status_failed = 1;
constexpr int status_usage = 2;
constexpr int status_not_registered = 255;

int fail(Log& log, int status, const std::string& text) {
  log.error(text);
  return status;
}

/// What an engine is and has when its process begins.
struct EngineProcess {
  EngineSeat seat{};
  std::unique_ptr<OutputCapture> capture{};
};

/// An engine process behind its nanny, or a kernel.
struct Life {
  const EngineOptions& options;
  ProfilePaths paths{};
  std::filesystem::path file{};  ///< the connection file
  Log& log;
  const ProcessStart* start{};     ///< null: Python runs already
  const PythonRuntime* runtime{};  ///< null: this program has no Python
  bool is_guest{};                 ///< see PythonOptions
};

/// The Python that this process is to run, as sys.executable. When it has to be another program,
/// this process becomes that and the function returns only to report a failure.
Result<std::filesystem::path> enter_python(const Life& life, const EngineProcess& process) {
  if (life.start == nullptr) {
    return std::filesystem::path();
  }
  const auto location = locate_python(PythonSearch::here(life.options.python));
  if (!location) {
    return unexpected(location.error());
  }
  life.log.debug("Python is " + location->executable.string() + " (" + location->why + ")");
  if (life.runtime != nullptr && location->embeddable) {
    return location->executable;
  }
  const EngineSeat& seat = process.seat;
  std::array<int, 4> pipes{-1, -1, -1, -1};
  if (process.capture) {
    pipes = process.capture->pipe_ends();
  }
  std::error_code failure;
  return unexpected(become_python(
      location->executable,
      {.arguments = life.start->arguments,
       .environment = life.start->environment,
       .work_dir = std::filesystem::current_path(failure).string(),
       .file = life.file.string(),
       .generation = seat.generation,
       .wanted_id = seat.wanted_id ? seat.wanted_id->value : -1},
      {seat.link_fd, STDOUT_FILENO, STDERR_FILENO, pipes[0], pipes[1], pipes[2], pipes[3]}));
}

int run_kernel(const Life& life) {
  const auto& options = life.options;
  PythonOptions python = python_options(options, life.paths, {});
  auto executable = enter_python(life, {});
  if (!executable) {
    return fail(life.log, status_failed, executable.error().message);
  }
  python.executable = std::move(*executable);
  python.is_guest = life.is_guest;
  python.is_kernel = true;
  auto kernel = open_kernel(life.file, {.uuid = python.uuid, .username = python.username});
  if (!kernel) {
    return fail(life.log, status_failed, kernel.error().message);
  }
  announce(*kernel);
  python.kernel = {.file = kernel->file.string(),
                   .text = kernel_connection_text(kernel->link->connection())};
  auto capture = OutputCapture::create();
  if (!capture) {
    life.log.warning(capture.error().message);
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
  return life.runtime->run_threads(std::move(io), std::move(python), life.log);
}

/// Everything behind the nanny.
int live(const Life& life, const EngineProcess& process) {
  const auto& options = life.options;
  auto executable = enter_python(life, process);
  if (!executable) {
    return fail(life.log, status_failed, executable.error().message);
  }
  ConnectionSource source(options, life.file, life.log);
  auto found = source.find();
  if (!found) {
    return fail(life.log,
                found.error().code == ErrorCode::timed_out ? status_not_registered : status_failed,
                found.error().message);
  }
  const EngineSeat& seat = process.seat;
  PythonOptions python = python_options(options, life.paths, seat);
  python.executable = std::move(*executable);
  python.is_guest = life.is_guest;
  ReactorOptions io{.machine = {.registration_timeout = options.registration_timeout,
                                .missed_pings_max = options.missed_pings_max,
                                .reconnect_timeout = options.reconnect_timeout},
                    .connection = std::move(found->info),
                    .ports_from_reply = found->ports_from_reply,
                    .curve_keys = options.curve_keys,
                    .uuid = python.uuid,
                    .username = python.username,
                    .wanted_id = seat.wanted_id ? seat.wanted_id : options.wanted_id,
                    .resources = options.resources,
                    .nanny_fd = seat.link_fd,
                    .watch = &source,
                    .capture = process.capture.get(),
                    .output_bytes_max = options.output_bytes_max};
  return life.runtime->run_threads(std::move(io), std::move(python), life.log);
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

/// Options of a process that another one has prepared; user code will not find secrets in its
/// environment.
std::variant<EngineOptions, EndNow> options_of(const ForkRequest& request,
                                               const PythonRuntime& runtime) {
  std::vector<std::string> environment;
  std::vector<std::string> secrets;
  for (const auto& entry : request.environment) {
    (is_secret(entry) ? secrets : environment).push_back(entry);
  }
  runtime.enter_environment(environment);
  for (const auto& entry : secrets) {  // in C only, where the parser takes them out again
    const auto equals = entry.find('=');
    setenv(entry.substr(0, equals).c_str(),  // NOLINT(concurrency-mt-unsafe)
           entry.substr(equals + 1).c_str(), 1);
  }
  auto parsed = parse_engine_options(request.arguments);
  const auto* options = std::get_if<EngineOptions>(&parsed);
  if (options != nullptr && !options->gpus.empty()) {
    environment.push_back("CUDA_VISIBLE_DEVICES=" + options->gpus);
    runtime.enter_environment(environment);
  }
  return parsed;
}

int run_fork_server(const Life& life);

/// A process that another one has prepared becomes what it is to be: a fork of the fork server, or
/// this engine as a module.
int run_prepared(const ForkedEngine& prepared, const PythonRuntime& runtime, bool is_guest) {
  const auto [link, out, err, out_read, out_write, err_read, err_write] = prepared.descriptors;
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  close(out);
  close(err);
  if (chdir(prepared.request.work_dir.c_str()) != 0) {
    return status_failed;
  }
  const auto parsed = options_of(prepared.request, runtime);
  const auto* options = std::get_if<EngineOptions>(&parsed);
  const auto paths = options == nullptr
                         ? unexpected(ErrorCode::invalid_argument, "unusable options")
                         : locate_profile(options->profile);
  const bool kernel = paths && is_kernel(*options, *paths);
  auto log = paths ? open_log(*options, *paths, kernel)
                   : Result<std::unique_ptr<Log>>(unexpected(paths.error()));
  if (!log) {
    return fail(**make_log({.name = "IPEngine"}), status_usage, log.error().message);
  }
  const Life life{.options = *options,
                  .paths = *paths,
                  .file = prepared.request.file,
                  .log = **log,
                  .runtime = &runtime,
                  .is_guest = is_guest};
  if (!options->fork_server.empty()) {
    return run_fork_server(life);
  }
  if (kernel) {
    return run_kernel(life);
  }
  EngineProcess process{
      .seat = {.link_fd = link, .generation = prepared.request.generation, .wanted_id = {}},
      .capture = out_read < 0 ? nullptr
                              : OutputCapture::adopt({out_read, out_write, err_read, err_write})};
  if (prepared.request.wanted_id >= 0) {
    process.seat.wanted_id = EngineId{prepared.request.wanted_id};
  }
  // The nanny is in its working directory already.
  return live(life, process);
}

int run_fork_server(const Life& life) {
  const auto executable = enter_python(life, {});
  if (!executable) {
    return fail(life.log, status_failed, executable.error().message);
  }
  const auto forked = life.runtime->serve_forks({.name = life.options.fork_server,
                                                 .python = executable->string(),
                                                 .preload = life.options.preload},
                                                life.log);
  if (!forked) {
    return fail(life.log, status_failed, forked.error().message);
  }
  // The server itself ends without tidying up a Python that nobody needs any more.
  return *forked ? run_prepared(**forked, *life.runtime, life.is_guest) : 0;
}

}  // namespace

int run_ordered(int fd, const PythonRuntime& runtime) {
  const auto order = read_order(fd);
  if (!order) {
    return fail(**make_log({.name = "IPEngine"}), status_failed, order.error().message);
  }
  return run_prepared(*order, runtime, true);
}

int run_engine(const EngineOptions& options,
               const ProcessStart& start,
               const PythonRuntime* embedded) {
  const auto paths = locate_profile(options.profile);
  const bool kernel = paths && is_kernel(options, *paths);
  auto log = paths ? open_log(options, *paths, kernel)
                   : Result<std::unique_ptr<Log>>(unexpected(paths.error()));
  if (!log) {
    return fail(**make_log({.name = "IPEngine"}), status_usage, log.error().message);
  }
  Life life{
      .options = options, .paths = *paths, .log = **log, .start = &start, .runtime = embedded};
  if (!options.fork_server.empty()) {
    return run_fork_server(life);
  }
  set_gpus(options);
  life.file = !kernel ? connection_file(options, *paths)
              : options.connection_file.empty()
                  ? std::filesystem::path()
                  : std::filesystem::absolute(options.connection_file);
  if (const int status = enter_work_dir(options, **log); status != 0) {
    return status;
  }
  if (kernel) {
    return run_kernel(life);
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
                                    .file = life.file.string()},
                                   **log, process.capture);
    if (!split) {
      return fail(**log, status_failed, split.error().message);
    }
    process.seat = *split;
  }
  return live(life, process);
}

}  // namespace ipf::engine
