#include "engine/nanny.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "core/clock.hpp"
#include "core/text.hpp"
#include "engine/death_notice.hpp"
#include "engine/nanny_link.hpp"
#include "engine/process_tree.hpp"
#include "net/poll_timeout.hpp"

namespace ipf::engine {

namespace {

constexpr std::array<int, 5> forwarded_signals{SIGTERM, SIGHUP, SIGINT, SIGUSR1, SIGUSR2};
/// From SIGTERM to SIGKILL; launchers kill the nanny itself after five seconds.
constexpr Duration kill_after = std::chrono::milliseconds(3000);
/// From the order to end because of its memory to SIGKILL.
constexpr Duration last_word_time = std::chrono::milliseconds(500);
constexpr Duration memory_check_interval = std::chrono::milliseconds(100);
constexpr Duration no_pidfd_interval = std::chrono::milliseconds(100);
/// The same once the engine's end of its link is closed, which its death does just before it ends.
constexpr Duration no_pidfd_last_interval = std::chrono::milliseconds(2);
constexpr Duration fork_server_patience = std::chrono::seconds(5);
/// From the end of a forked engine to the server's word about it.
constexpr Duration end_word_time = std::chrono::milliseconds(500);
constexpr int unknown_status = 1 << 8;  // as waitpid() tells exit(1)
constexpr Duration second_interrupt_within = std::chrono::seconds(2);

std::string mebibytes(std::uint64_t bytes) {
  return std::to_string(bytes >> 20U) + " MiB";
}

std::string how_it_ended(int status) {
  if (!WIFSIGNALED(status)) {
    return "ended with exit status " + std::to_string(WEXITSTATUS(status));
  }
  const char* name = sigabbrev_np(WTERMSIG(status));
  return "was killed by signal " + std::to_string(WTERMSIG(status)) +
         (name == nullptr ? "" : std::string(" (SIG") + name + ")");
}

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

class Nanny {
 public:
  Nanny(const NannyOptions& options,
        const sigset_t& signals,
        const sigset_t& mask_before,
        std::unique_ptr<OutputCapture>& capture,
        Log& log)
      : options_(options),
        policy_(options.restart),
        signal_fd_(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK)),
        mask_before_(mask_before),
        capture_(capture),
        log_(log) {
    if (!options.fork_from.empty()) {
      auto forks = ForkClient::connect(options.fork_from, fork_server_patience);
      if (forks) {
        forks_.emplace(std::move(*forks));
      } else {
        log_.warning(forks.error().message + "; starting the engine from scratch");
      }
    }
  }

  /// Returns in each engine process; fails only when the first one cannot be made.
  Result<EngineSeat> run() {
    while (true) {
      auto seat = start_engine();
      if (!seat && generation_ == 0) {
        return unexpected(seat.error());
      }
      if (seat && seat->link_fd >= 0) {
        return seat;
      }
      if (!seat) {
        log_.error(seat.error().message);
        _exit(1);
      }
      const int status = watch_engine();
      const RestartDecision decision = after_end(status);
      if (!decision.restart || !wait_before_restart(decision.delay)) {
        end_like(status);
      }
      ++generation_;
      renew_capture();
    }
  }

 private:
  /// In the nanny the seat has no link.
  Result<EngineSeat> start_engine() {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
      return unexpected(ErrorCode::io, "cannot make a socket pair: " + errno_text(errno));
    }
    if (ask_fork_server(ends[1])) {
      close(ends[1]);
      return watch_started(ends[0]);
    }
    const pid_t parent = getpid();
    child_ = fork();
    if (child_ < 0) {
      const int reason = errno;
      close(ends[0]);
      close(ends[1]);
      return unexpected(ErrorCode::io, "cannot start the engine process: " + errno_text(reason));
    }
    if (child_ == 0) {
      close(ends[0]);
      close(signal_fd_);
      forks_.reset();
      pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
      become_engine(parent);
      return EngineSeat{.link_fd = ends[1], .generation = generation_, .wanted_id = last_id_};
    }
    close(ends[1]);
    return watch_started(ends[0]);
  }

  /// True when there is an engine now, `child_`.
  bool ask_fork_server(int link) {
    forked_ = false;
    if (!forks_ || !forks_->usable()) {
      return false;
    }
    std::array<int, 4> pipes{-1, -1, -1, -1};
    if (capture_) {
      pipes = capture_->pipe_ends();
    }
    const ForkDescriptors descriptors{link,     STDOUT_FILENO, STDERR_FILENO, pipes[0],
                                      pipes[1], pipes[2],      pipes[3]};
    if (std::ranges::find(descriptors, -1) != descriptors.end()) {
      return false;
    }
    std::error_code failure;
    const auto pid = forks_->start({.arguments = options_.start.arguments,
                                    .environment = options_.start.environment,
                                    .work_dir = std::filesystem::current_path(failure).string(),
                                    .file = options_.file,
                                    .generation = generation_,
                                    .wanted_id = last_id_ ? last_id_->value : -1},
                                   descriptors);
    if (!pid) {
      log_.warning(pid.error().message + "; starting the engine from scratch");
      return false;
    }
    child_ = *pid;
    forked_ = true;
    return true;
  }

  EngineSeat watch_started(int link) {
    link_fd_ = link;
    child_fd_ = static_cast<int>(syscall(SYS_pidfd_open, child_, 0));
    if (capture_) {
      capture_->only_watch();
    }
    memory_check_ = options_.memory_limit > 0 ? steady_now() : TimePoint::never();
    return EngineSeat{};
  }

  int watch_engine() {
    int status = 0;
    while (true) {
      wait_for_something();
      read_lines();
      forward_signals();
      if (has_ended(status)) {
        return status;
      }
      const TimePoint now = steady_now();
      if (now >= kill_at_) {
        log_.warning("the engine has not ended; killing it");
        kill_at_ = TimePoint::never();
        kill(child_, SIGKILL);
      }
      if (now >= memory_check_) {
        check_memory(now);
        if (memory_check_ != TimePoint::never()) {
          // An engine with ten thousand threads or children takes long to look at.
          const TimePoint done = steady_now();
          memory_check_ = done + std::max(memory_check_interval, 20 * (done - now));
        }
      }
    }
  }

  bool has_ended(int& status) {
    if (!forked_) {
      const pid_t ended = waitpid(child_, &status, WNOHANG);
      return ended == child_ || (ended < 0 && errno == ECHILD);
    }
    pollfd item{child_fd_, POLLIN, 0};
    if (child_fd_ >= 0 && poll(&item, 1, 0) == 0) {
      return false;
    }
    if (child_fd_ >= 0) {
      tell_of_death();  // the hub has no use for the status, which the server may be slow to tell
    }
    // Without pidfd_open (Linux before 5.3), or when it was gone by then, the server has to tell.
    const Duration patience = child_fd_ >= 0 ? end_word_time : Duration{};
    if (const auto told = forks_->end_of(child_, patience)) {
      status = *told;
      return true;
    }
    status = unknown_status;
    return child_fd_ >= 0 || !forks_->usable();
  }

  void wait_for_something() {
    std::array<pollfd, 3> items{
        {{child_fd_, POLLIN, 0}, {signal_fd_, POLLIN, 0}, {link_fd_, POLLIN, 0}}};
    const TimePoint now = steady_now();
    // A kernel without pidfd: look now and then.
    const TimePoint look = child_fd_ >= 0 ? TimePoint::never()
                           : link_fd_ < 0 ? now + no_pidfd_last_interval
                                          : now + no_pidfd_interval;
    poll(items.data(), items.size(),
         poll_timeout_ms(now, std::min({look, kill_at_, memory_check_})));
  }

  void read_lines() {
    std::array<char, 4096> chunk{};
    while (link_fd_ >= 0) {
      const ssize_t got = read(link_fd_, chunk.data(), chunk.size());
      if (got == 0) {
        close(std::exchange(link_fd_, -1));
      }
      if (got <= 0) {
        break;
      }
      lines_.add({chunk.data(), static_cast<std::size_t>(got)});
    }
    while (const auto text = lines_.take()) {
      const NannyLine line = read_nanny_line(*text);
      if (line.card) {
        card_ = line.card;
        last_id_ = line.card->id;
      }
      if (line.unregistered) {
        card_.reset();
      }
      if (line.leaving) {
        end_.announced = true;
        end_.asked_to_restart = line.restart;
      }
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
        end_.told_to_stop = true;
        kill_at_ = std::min(kill_at_, steady_now() + kill_after);
      }
      if (child_ > 0) {
        kill(child_, number);
      }
    }
  }

  /// The terminal has sent it to the engine, too.
  void on_ctrl_c() {
    const TimePoint now = steady_now();
    if (last_ctrl_c_ && now - *last_ctrl_c_ < second_interrupt_within) {
      end_.told_to_stop = true;
      kill_at_ = std::min(kill_at_, now + kill_after);
      if (child_ > 0) {
        kill(child_, SIGTERM);
      }
    } else {
      log_.info("Ctrl-C interrupts running code only; press it again to stop the engine");
    }
    last_ctrl_c_ = now;
  }

  void check_memory(TimePoint now) {
    const auto processes = process_tree(child_);
    std::uint64_t used = resident_bytes(processes);
    if (used <= options_.memory_limit) {
      return;
    }
    used = proportional_bytes(processes);
    if (used <= options_.memory_limit) {
      return;
    }
    how_ = "used " + mebibytes(used) + ", more than its memory limit of " +
           mebibytes(options_.memory_limit);
    log_.error("the engine " + how_ + "; ending it");
    kill_descendants(child_);
    const std::string line = end_line("the engine " + how_);
    [[maybe_unused]] const auto written =
        send(link_fd_, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    kill_at_ = std::min(kill_at_, now + last_word_time);
    memory_check_ = TimePoint::never();
  }

  /// Unless the hub knows already.
  void tell_of_death() {
    read_lines();
    if (card_) {
      announce_death(*card_);
      card_.reset();
    }
  }

  RestartDecision after_end(int status) {
    child_ = -1;
    close(std::exchange(child_fd_, -1));
    tell_of_death();
    if (capture_) {
      capture_->copy_rest();
    }
    close(std::exchange(link_fd_, -1));
    EngineEnd end = std::exchange(end_, {});
    end.was_registered = last_id_.has_value();
    end.how = how_.empty() ? how_it_ended(status) : std::exchange(how_, {});
    kill_at_ = TimePoint::never();
    memory_check_ = TimePoint::never();
    const RestartDecision decision = policy_.decide(steady_now(), end);
    // Before it has registered an engine ends only with a reason that it has given itself.
    const bool crashed =
        WIFSIGNALED(status) || (end.was_registered && !end.announced && !end.told_to_stop);
    if (crashed || decision.restart) {
      const std::string id = last_id_ ? " " + std::to_string(last_id_->value) : std::string();
      log_.write(crashed ? LogLevel::error : LogLevel::info, "engine" + id + " " + decision.why);
    }
    return decision;
  }

  /// False when the nanny is told to stop meanwhile.
  bool wait_before_restart(Duration delay) {
    const TimePoint until = steady_now() + delay;
    while (true) {
      forward_signals();
      if (end_.told_to_stop) {
        return false;
      }
      const TimePoint now = steady_now();
      if (now >= until) {
        return true;
      }
      pollfd item{signal_fd_, POLLIN, 0};
      poll(&item, 1, poll_timeout_ms(now, until));
    }
  }

  void renew_capture() {
    if (!capture_) {
      return;
    }
    capture_.reset();
    if (auto made = OutputCapture::create()) {
      capture_ = std::move(*made);
    }
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

  NannyOptions options_;
  std::optional<ForkClient> forks_{};
  RestartPolicy policy_;
  int signal_fd_;
  sigset_t mask_before_;
  std::unique_ptr<OutputCapture>& capture_;
  Log& log_;

  // Of the engine that runs:
  pid_t child_{-1};
  bool forked_{};  ///< by the fork server: no child of this process
  int link_fd_{-1};
  int child_fd_{-1};
  LineBuffer lines_{};
  std::optional<EngineCard> card_{};  ///< while the hub knows it
  EngineEnd end_{};
  std::string how_{};  ///< why the nanny ends it
  TimePoint kill_at_{TimePoint::never()};
  TimePoint memory_check_{TimePoint::never()};

  int generation_{};
  std::optional<EngineId> last_id_{};
  std::optional<TimePoint> last_ctrl_c_{};
};

}  // namespace

Result<EngineSeat> split_nanny(const NannyOptions& options,
                               Log& log,
                               std::unique_ptr<OutputCapture>& capture) {
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
  auto seat = Nanny(options, signals, before, capture, log).run();
  if (!seat) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  return seat;
}

}  // namespace ipf::engine
