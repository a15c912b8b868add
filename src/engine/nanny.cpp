#include "engine/nanny.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.hpp"
#include "core/text.hpp"
#include "net/socket.hpp"
#include "protocol/json_text.hpp"
#include "protocol/session.hpp"
#include "protocol/signer.hpp"

namespace ipf::engine {

namespace {

constexpr std::array<int, 5> forwarded_signals{SIGTERM, SIGHUP, SIGINT, SIGUSR1, SIGUSR2};
/// From SIGTERM to SIGKILL; launchers kill the nanny itself after five seconds.
constexpr Duration kill_after = std::chrono::milliseconds(3000);
constexpr Duration second_interrupt_within = std::chrono::seconds(2);
constexpr int exit_notice_linger_ms = 3000;
constexpr std::size_t report_bytes_max = 65536;

/// The engine as it introduced itself over the pipe.
struct Ward {
  std::string uuid{};
  std::string url{};
  std::string key{};
  std::string scheme{};
  int id{};
};

class Nanny {
 public:
  Nanny(pid_t child, int report_fd, const sigset_t& signals, OutputCapture* capture, Log& log)
      : child_(child),
        report_fd_(report_fd),
        child_fd_(static_cast<int>(syscall(SYS_pidfd_open, child, 0))),
        signal_fd_(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK)),
        capture_(capture),
        log_(log) {}

  [[noreturn]] void run() {
    int status = 0;
    while (true) {
      wait_for_something();
      read_reports();
      forward_signals();
      const pid_t ended = waitpid(child_, &status, WNOHANG);
      if (ended == child_ || (ended < 0 && errno == ECHILD)) {
        break;
      }
      if (steady_now() >= kill_at_) {
        log_.warning("the engine has not ended after SIGTERM; killing it");
        kill_at_ = TimePoint::never();
        kill(child_, SIGKILL);
      }
    }
    if (capture_ != nullptr) {
      capture_->copy_rest();
    }
    read_reports();
    report_death(status);
    end_like(status);
  }

 private:
  void wait_for_something() {
    std::array<pollfd, 3> items{
        {{child_fd_, POLLIN, 0}, {signal_fd_, POLLIN, 0}, {report_fd_, POLLIN, 0}}};
    int timeout_ms = child_fd_ < 0 ? 100 : -1;  // a kernel without pidfd: look now and then
    if (kill_at_ != TimePoint::never()) {
      timeout_ms = 100;
    }
    poll(items.data(), items.size(), timeout_ms);
  }

  void read_reports() {
    std::array<char, 4096> chunk{};
    while (report_fd_ >= 0) {
      const ssize_t got = read(report_fd_, chunk.data(), chunk.size());
      if (got == 0) {
        close(report_fd_);
        report_fd_ = -1;
      }
      if (got <= 0) {
        break;
      }
      reports_.append(chunk.data(), static_cast<std::size_t>(got));
    }
    for (auto end = reports_.find('\n'); end != std::string::npos; end = reports_.find('\n')) {
      take_report(reports_.substr(0, end));
      reports_.erase(0, end + 1);
    }
    if (reports_.size() > report_bytes_max) {
      reports_.clear();
    }
  }

  void take_report(const std::string& line) {
    const auto report = parse_json_object(line, "report");
    if (!report) {
      return;
    }
    if (report->contains("unregistered")) {
      ward_.reset();
      return;
    }
    const auto id = report->find("id");
    if (id != report->end() && id->is_number_integer()) {
      ward_ = Ward{.uuid = string_or(*report, "uuid"),
                   .url = string_or(*report, "url"),
                   .key = string_or(*report, "key"),
                   .scheme = string_or(*report, "scheme"),
                   .id = id->get<int>()};
    }
  }

  void forward_signals() {
    signalfd_siginfo info{};
    while (read(signal_fd_, &info, sizeof info) == sizeof info) {
      const int number = static_cast<int>(info.ssi_signo);
      if (number == SIGINT && info.ssi_code == SI_KERNEL) {
        on_ctrl_c();
        continue;
      }
      if (number == SIGTERM || number == SIGHUP) {
        kill_at_ = std::min(kill_at_, steady_now() + kill_after);
      }
      kill(child_, number);
    }
  }

  /// The terminal has sent it to the engine, too.
  void on_ctrl_c() {
    const TimePoint now = steady_now();
    if (last_ctrl_c_ && now - *last_ctrl_c_ < second_interrupt_within) {
      kill_at_ = std::min(kill_at_, now + kill_after);
      kill(child_, SIGTERM);
    } else {
      log_.info("Ctrl-C interrupts running code only; press it again to stop the engine");
    }
    last_ctrl_c_ = now;
  }

  void report_death(int status) {
    if (WIFSIGNALED(status)) {
      const char* name = sigabbrev_np(WTERMSIG(status));
      log_.error("the engine was killed by signal " + std::to_string(WTERMSIG(status)) +
                 (name == nullptr ? "" : std::string(" (SIG") + name + ")"));
    }
    if (!ward_) {
      return;
    }
    auto signer = Signer::create(ward_->key, ward_->scheme);
    if (!signer) {
      return;
    }
    NetContext context;
    Socket socket(context, SocketKind::dealer, {.linger_ms = exit_notice_linger_ms});
    if (!socket.connect(ward_->url)) {
      return;
    }
    Session session(new_session_id(), user_name(), *signer);
    const std::string content = dump_json({{"id", ward_->id}});
    socket.send(session.make({.type = "unregistration_request", .content = content}, wall_now()));
    // The destructors wait until the notice has left, at most exit_notice_linger_ms.
  }

  [[noreturn]] static void end_like(int status) {
    if (WIFSIGNALED(status)) {
      const int number = WTERMSIG(status);
      const rlimit no_core{};  // the engine has left one, if any is wanted
      setrlimit(RLIMIT_CORE, &no_core);
      std::signal(number, SIG_DFL);
      sigset_t set;
      sigemptyset(&set);
      sigaddset(&set, number);
      pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
      raise(number);
      constexpr int shell_signal_base = 128;
      _exit(shell_signal_base + number);
    }
    _exit(WEXITSTATUS(status));
  }

  pid_t child_;
  int report_fd_;
  int child_fd_;
  int signal_fd_;
  OutputCapture* capture_;
  Log& log_;
  std::string reports_{};
  std::optional<Ward> ward_{};
  TimePoint kill_at_{TimePoint::never()};
  std::optional<TimePoint> last_ctrl_c_{};
};

/// In the child: follow the parent into death, and read nothing from a terminal.
void become_engine(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) {
    _exit(1);  // the parent died before the line above
  }
  const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null_fd >= 0) {
    dup2(null_fd, STDIN_FILENO);
    close(null_fd);
  }
}

}  // namespace

Result<NannyLink> split_nanny(Log& log, OutputCapture* capture) {
  std::array<int, 2> pipe_fds{};
  if (pipe2(pipe_fds.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return unexpected(ErrorCode::io, "cannot make a pipe: " + errno_text(errno));
  }
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  for (const int number : forwarded_signals) {
    struct sigaction action{};
    // What nohup has switched off stays off. SIGINT is off for every background job of a script,
    // which means Ctrl-C and not what is sent to this process.
    const bool ignored = sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
    if (number != SIGHUP || !ignored) {
      sigaddset(&signals, number);
    }
  }
  pthread_sigmask(SIG_BLOCK, &signals, &before);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) {
    const int reason = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return unexpected(ErrorCode::io, "cannot start the engine process: " + errno_text(reason));
  }
  if (child > 0) {
    close(pipe_fds[1]);
    if (capture != nullptr) {
      capture->only_watch();
    }
    Nanny(child, pipe_fds[0], signals, capture, log).run();
  }
  close(pipe_fds[0]);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  become_engine(parent);
  return NannyLink{.fd = pipe_fds[1]};
}

}  // namespace ipf::engine
