#include "engine/engine_setup.hpp"

#include <cstddef>
#include <cstdio>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>

#include "core/log_pruning.hpp"
#include "core/text.hpp"
#include "net/log_spdlog.hpp"
#include "protocol/connection_file.hpp"
#include "protocol/kernel_file.hpp"

namespace ipf::engine {

namespace {

/// An engine that takes another one's place is another engine: the controller must not take what it
/// knew of the old one for knowledge about the new one.
std::string identity_of(const EngineOptions& options, const EngineSeat& seat) {
  if (options.ident.empty()) {
    return new_session_id();
  }
  return seat.generation == 0 ? options.ident
                              : options.ident + "-" + std::to_string(seat.generation);
}

}  // namespace

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

Result<std::unique_ptr<Log>> open_log(const EngineOptions& options,
                                      const ProfilePaths& paths,
                                      bool kernel) {
  LogOptions log{.name = "IPEngine", .level = options.log_level};
  log.json = options.log_format == "json";
  if (kernel && !options.log_level_given) {
    log.level = LogLevel::warning;  // its terminal belongs to the frontend
  }
  if (options.log_to_file) {
    IPF_TRY(make_profile(paths));
    prune_logs(paths.dir);
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
                             const EngineSeat& seat) {
  return {.executable = {},
          .uuid = identity_of(options, seat),
          .username = options.username.empty() ? user_name() : options.username,
          .startup_command = options.startup_command,
          .startup_script = options.startup_script,
          .profile_dir = options.init_profile || std::filesystem::exists(paths.dir)
                             ? paths.dir.string()
                             : std::string(),
          .init_profile = options.init_profile,
          .use_mpi = options.use_mpi,
          .mpi_module = options.mpi_module,
          .init_mpi = options.init_mpi,
          .traits = options.traits};
}

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

}  // namespace ipf::engine
