#include "apps/python_helper.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.hpp"
#include "core/text.hpp"
#include "launcher/file_descriptor.hpp"

extern "C" char** environ;  // NOLINT(readability-redundant-declaration): POSIX leaves it to us

namespace ipf {

namespace {

constexpr std::size_t answer_bytes_max = 4U * 1024 * 1024;

std::string find_python() {
  std::error_code failure;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", failure).parent_path();
  for (const char* name : {"python3", "python"}) {
    if (const auto beside = here / name; access(beside.c_str(), X_OK) == 0) {
      return beside.string();
    }
  }
  return "python3";
}

/// A file in memory that holds the text, to be read from its beginning.
FileDescriptor file_with(const std::string& text) {
  FileDescriptor fd{memfd_create("question", MFD_CLOEXEC)};
  if (!fd || write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      lseek(fd.get(), 0, SEEK_SET) != 0) {
    return FileDescriptor{-1};
  }
  return fd;
}

/// Starts Python; -1 and errno if that fails.
pid_t start(const std::string& python, const std::string& module, int in, int out) {
  // Not -m, which would let modules of the current directory in.
  const std::string code =
      "import sys; sys.path[:] = [p for p in sys.path if p]; import runpy; "
      "runpy.run_module('" +
      module + "', run_name='__main__')";
  std::string program = python;
  std::string option = "-c";
  std::string text = code;
  std::array<char*, 4> argv{program.data(), option.data(), text.data(), nullptr};
  posix_spawn_file_actions_t actions{};
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  pid_t pid = -1;
  errno = posix_spawnp(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
  const int failure = errno;
  posix_spawn_file_actions_destroy(&actions);
  errno = failure;
  return failure == 0 ? pid : -1;
}

/// Reads to the end; false after the limit, or when there is too much.
bool read_all(int fd, std::chrono::milliseconds limit, std::string& to) {
  const TimePoint deadline = steady_now() + limit;
  std::array<char, 65536> buffer{};
  while (to.size() <= answer_bytes_max) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_now());
    pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::max<long long>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) {
      continue;
    }
    if (ready <= 0) {
      return false;
    }
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got <= 0) {
      return got == 0;
    }
    to.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return false;
}

}  // namespace

Result<std::string> ask_python(const std::string& module,
                               const std::string& question,
                               std::chrono::milliseconds limit) {
  const FileDescriptor in = file_with(question);
  std::array<int, 2> ends{-1, -1};
  if (!in || pipe2(ends.data(), O_CLOEXEC) != 0) {
    return unexpected(ErrorCode::io, "no descriptor is left: " + errno_text(errno));
  }
  const FileDescriptor out{ends[0]};
  FileDescriptor child_out{ends[1]};
  const std::string python = find_python();
  const pid_t pid = start(python, module, in.get(), child_out.get());
  child_out.close();
  if (pid < 0) {
    return unexpected(ErrorCode::not_found, "cannot start " + python + ": " + errno_text(errno));
  }
  std::string answer;
  const bool complete = read_all(out.get(), limit, answer);
  if (!complete) {
    kill(pid, SIGKILL);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!complete) {
    return unexpected(ErrorCode::timed_out,
                      python + " did not answer within " + std::to_string(limit.count() / 1000) +
                          " seconds; a configuration file must not wait for anything");
  }
  if (status != 0) {
    return unexpected(ErrorCode::closed,
                      python + " failed; is the package ipyfleet installed there?");
  }
  return answer;
}

}  // namespace ipf
