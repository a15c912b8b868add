#include "launcher/process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sstream>
#include <string_view>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

#include <climits>

#include "core/file_io.hpp"
#include "core/process_info.hpp"
#include "core/text.hpp"
#include "launcher/file_descriptor.hpp"

extern "C" char** environ;  // NOLINT(readability-redundant-declaration): POSIX leaves it to us

namespace ipf {

namespace {

constexpr int report_fd = 3;  // the only descriptor besides 0, 1, 2 that lives until exec
constexpr int spawn_timeout_ms = 30'000;

/// What the child could not do, sent through the close-on-exec pipe.
struct SpawnFailure {
  int step{};
  int error{};
};

enum Step : int { step_redirect, step_chdir, step_exec };

/// Everything the child needs, made before fork: after it only async-signal-safe calls are allowed.
struct ChildPlan {
  std::vector<char*> argv{};
  std::vector<char*> environment{};
  const char* program{};
  const char* work_dir{};
  int input{-1};
  int output{-1};
  int error{-1};
  int report{-1};
};

[[noreturn]] void child_fails(Step step) {
  const SpawnFailure failure{step, errno};
  (void)!write(report_fd, &failure, sizeof failure);
  _exit(127);
}

void close_from(unsigned first) {
  if (close_range(first, ~0U, 0) == 0) {
    return;
  }
  const long limit = std::min(sysconf(_SC_OPEN_MAX), 65536L);  // a kernel before 5.9
  for (long fd = first; fd < limit; ++fd) {
    close(static_cast<int>(fd));
  }
}

[[noreturn]] void run_child(const ChildPlan& plan) {
  setsid();
  for (int number = 1; number < NSIG; ++number) {
    std::signal(number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
  // They may themselves lie in 0..3 when the parent runs with closed standard descriptors.
  const int report = fcntl(plan.report, F_DUPFD, report_fd + 1);
  const int input = fcntl(plan.input, F_DUPFD, report_fd + 1);
  const int output = fcntl(plan.output, F_DUPFD, report_fd + 1);
  const int error = fcntl(plan.error, F_DUPFD, report_fd + 1);
  if (report < 0 || dup3(report, report_fd, O_CLOEXEC) < 0) {
    _exit(127);
  }
  if (input < 0 || output < 0 || error < 0 || dup2(input, STDIN_FILENO) < 0 ||
      dup2(output, STDOUT_FILENO) < 0 || dup2(error, STDERR_FILENO) < 0) {
    child_fails(step_redirect);
  }
  close_from(report_fd + 1);
  if (plan.work_dir != nullptr && chdir(plan.work_dir) != 0) {
    child_fails(step_chdir);
  }
  execve(plan.program, plan.argv.data(), plan.environment.data());
  child_fails(step_exec);
}

std::vector<std::string> changed_environment(const std::vector<EnvironmentChange>& changes) {
  std::vector<std::string> out;
  for (const char* const* entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    const auto changes_it = [name](const EnvironmentChange& change) {
      return change.first == name;
    };
    if (std::ranges::none_of(changes, changes_it)) {
      out.emplace_back(text);
    }
  }
  for (const auto& [name, value] : changes) {
    if (value) {
      out.push_back(name + "=" + *value);
    }
  }
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) {
    out.push_back(text.data());
  }
  out.push_back(nullptr);
  return out;
}

/// Waits until the child has executed its program (end of file) or says why it could not.
std::optional<SpawnFailure> read_report(int fd) {
  pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&wait, 1, spawn_timeout_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) {
    return SpawnFailure{step_exec, ETIMEDOUT};
  }
  SpawnFailure failure{};
  if (read(fd, &failure, sizeof failure) != sizeof failure) {
    return std::nullopt;
  }
  return failure;
}

Error spawn_error(const SpawnFailure& failure, const ProcessOptions& options) {
  const std::string why = errno_text(failure.error);
  switch (failure.step) {
    case step_chdir:
      return {ErrorCode::io,
              "cannot enter the directory " + options.work_dir.string() + ": " + why};
    case step_redirect:
      return {ErrorCode::io, "cannot redirect the output of " + options.argv[0] + ": " + why};
    default:
      return {ErrorCode::io, "cannot execute " + options.argv[0] + ": " + why};
  }
}

struct GroupEntry {
  char state{};
  pid_t group{};
};

/// State and process group out of /proc/<pid>/stat.
std::optional<GroupEntry> read_group(const std::string& pid) {
  const std::string line = read_file("/proc/" + pid + "/stat");
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) {
    return std::nullopt;
  }
  std::istringstream rest(line.substr(name_end + 1));
  GroupEntry entry{};
  pid_t parent = 0;
  rest >> entry.state >> parent >> entry.group;
  return rest ? std::optional{entry} : std::nullopt;
}

}  // namespace

std::string signal_name(int signal) {
  const char* name = sigabbrev_np(signal);
  return "SIG" + (name == nullptr ? std::to_string(signal) : std::string{name});
}

std::string to_text(ExitStatus status) {
  if (!status.known) {
    return "its exit status is not known";
  }
  if (status.signal != 0) {
    return "killed by signal " + std::to_string(status.signal) + " (" + signal_name(status.signal) +
           ")";
  }
  return "exit status " + std::to_string(status.code);
}

Result<std::string> find_program(const std::string& program) {
  if (program.find('/') != std::string::npos) {
    return program;
  }
  const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): nobody changes it
  std::istringstream directories(path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path);
  for (std::string directory; !program.empty() && std::getline(directories, directory, ':');) {
    // An empty entry means the current directory; a cluster never runs a program from there.
    const std::string candidate = directory + "/" + program;
    std::error_code failure;
    if (!directory.empty() && access(candidate.c_str(), X_OK) == 0 &&
        std::filesystem::is_regular_file(candidate, failure)) {
      return candidate;
    }
  }
  return unexpected(ErrorCode::not_found, "the program '" + program + "' was not found in PATH");
}

std::string sibling_program(const std::string& name) {
  std::error_code failure;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failure);
  const std::string candidate = (self.parent_path() / name).string();
  return !failure && access(candidate.c_str(), X_OK) == 0 ? candidate : name;
}

Result<Process> Process::spawn(const ProcessOptions& options) {
  if (options.argv.empty()) {
    return unexpected(ErrorCode::invalid_argument, "no command to start was given");
  }
  const Result<std::string> program = find_program(options.argv[0]);
  if (!program) {
    return unexpected(program.error());
  }
  FileDescriptor null;
  FileDescriptor file;
  if (options.input < 0) {
    null = FileDescriptor{open("/dev/null", O_RDONLY | O_CLOEXEC)};
  }
  const bool needs_file = options.output < 0 || options.error < 0;
  if (needs_file) {
    file = FileDescriptor{open(options.output_file.c_str(),
                               O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                               S_IRUSR | S_IWUSR)};
  }
  if ((options.input < 0 && !null) || (needs_file && !file)) {
    return unexpected(ErrorCode::io, "cannot open the log file " + options.output_file.string() +
                                         ": " + errno_text(errno));
  }
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    return unexpected(ErrorCode::io, "cannot create a pipe: " + errno_text(errno));
  }
  const FileDescriptor report{ends[0]};
  FileDescriptor child_report{ends[1]};

  std::vector<std::string> arguments = options.argv;
  std::vector<std::string> variables = changed_environment(options.environment);
  const ChildPlan plan{.argv = pointers(arguments),
                       .environment = pointers(variables),
                       .program = program->c_str(),
                       .work_dir = options.work_dir.empty() ? nullptr : options.work_dir.c_str(),
                       .input = options.input < 0 ? null.get() : options.input,
                       .output = options.output < 0 ? file.get() : options.output,
                       .error = options.error < 0 ? file.get() : options.error,
                       .report = child_report.get()};
  const pid_t pid = fork();
  if (pid < 0) {
    return unexpected(ErrorCode::io, "cannot start a process: " + errno_text(errno));
  }
  if (pid == 0) {
    run_child(plan);
  }
  child_report.close();
  if (const auto failure = read_report(report.get())) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return unexpected(spawn_error(*failure, options));
  }
  return Process{pid};
}

Process::Process(pid_t pid) : pid_(pid), start_ticks_(process_start_ticks(pid)) {}

std::optional<ExitStatus> Process::poll() {
  if (exit_) {
    return exit_;
  }
  siginfo_t info{};
  const int answer = waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG);
  if (answer != 0) {
    if (errno == EINTR) {
      return std::nullopt;
    }
    exit_ = ExitStatus{.code = 255, .signal = 0};  // reaped by somebody else: the status is lost
  } else if (info.si_pid == pid_) {
    exit_ = info.si_code == CLD_EXITED ? ExitStatus{.code = info.si_status, .signal = 0}
                                       : ExitStatus{.code = 0, .signal = info.si_status};
  }
  return exit_;
}

void Process::signal(int number) {
  if (!poll()) {  // not reaped yet, so the pid is still this child's
    kill(pid_, number);
  }
}

void Process::signal_group(int number) const {
  killpg(pid_, number);
}

bool Process::group_running() {
  return !poll() || !group_members(pid_).empty();
}

std::vector<pid_t> group_members(pid_t group) {
  std::vector<pid_t> out;
  if (killpg(group, 0) != 0 && errno == ESRCH) {
    return out;
  }
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failure)) {
    const std::string name = entry.path().filename().string();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc{}) {
      continue;
    }
    const auto found = read_group(name);
    if (found && found->group == group && found->state != 'Z' && found->state != 'X') {
      out.push_back(pid);
    }
  }
  return out;
}

}  // namespace ipf
