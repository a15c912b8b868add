#include "launcher/daemonize.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <iostream>
#include <optional>
#include <sstream>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "core/text.hpp"
#include "launcher/log_tail.hpp"
#include "launcher/signal_watch.hpp"

namespace ipf {

namespace {

constexpr Duration stop_limit = std::chrono::seconds{9};
constexpr std::size_t lines_of_log = 20;

std::filesystem::path log_file(const DaemonOptions& options, pid_t pid) {
  return options.log_dir / (options.log_stem + "-" + std::to_string(pid) + ".log");
}

/// Detaches from the terminal and from every descriptor but `socket`.
void redirect(const DaemonOptions& options, FileDescriptor& socket) {
  const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int output = open(log_file(options, getpid()).c_str(),
                          O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  dup2(input, STDIN_FILENO);
  dup2(output < 0 ? input : output, STDOUT_FILENO);
  dup2(output < 0 ? input : output, STDERR_FILENO);
  constexpr int kept = 3;
  if (socket.get() != kept) {
    dup3(socket.get(), kept, O_CLOEXEC);
    socket = FileDescriptor{kept};
  }
  close_range(kept + 1, ~0U, 0);
}

/// Forks twice, so that the daemon is no session leader and not our child.
bool in_daemon(FileDescriptor& caller_end) {
  const pid_t child = fork();
  if (child != 0) {
    if (child > 0) {
      waitpid(child, nullptr, 0);
    }
    return false;
  }
  setsid();
  if (fork() != 0) {
    _exit(0);
  }
  caller_end.close();
  return true;
}

/// The caller's side: reads the report line by line.
class ReportReader {
 public:
  ReportReader(const DaemonOptions& options, std::ostream& out, std::ostream& err)
      : options_(options), out_(out), err_(err) {}

  int run(int socket);

 private:
  void read_lines();
  bool read_more(int socket);
  int unexpected_end();

  const DaemonOptions& options_;
  std::ostream& out_;
  std::ostream& err_;
  std::string text_{};
  pid_t daemon_{};
  std::optional<int> failed_{};
  bool ready_{};
  int interrupted_{};
};

bool ReportReader::read_more(int socket) {
  std::array<char, 4096> part{};
  const ssize_t got = recv(socket, part.data(), part.size(), MSG_DONTWAIT);
  if (got > 0) {
    text_.append(part.data(), static_cast<std::size_t>(got));
    return true;
  }
  return got < 0 && (errno == EAGAIN || errno == EINTR);
}

void ReportReader::read_lines() {
  for (std::size_t end = 0; !failed_ && (end = text_.find('\n')) != std::string::npos;) {
    std::istringstream line(text_.substr(0, end));
    text_.erase(0, end + 1);
    std::string word;
    line >> word;
    if (word == "pid") {
      line >> daemon_;
    } else if (word == "progress") {
      int registered = 0;
      int wanted = 0;
      line >> registered >> wanted;
      out_ << registered << " of " << wanted << " engines registered\n" << std::flush;
    } else if (word == "ready") {
      ready_ = true;
    } else if (word == "failed") {
      line >> failed_.emplace();  // the text follows up to the end of the stream
    }
  }
}

int ReportReader::unexpected_end() {
  if (interrupted_ != 0) {
    err_ << options_.program << ": interrupted, the cluster was stopped\n";
    return 128 + interrupted_;
  }
  const auto log = log_file(options_, daemon_);
  err_ << options_.program << ": the background process ended during the start; the end of "
       << log.string() << ":\n"
       << last_lines(log, lines_of_log) << '\n';
  return 1;
}

int ReportReader::run(int socket) {
  SignalWatch signals({SIGINT, SIGTERM, SIGHUP});
  TimePoint deadline = steady_now() + options_.limit;
  bool timed_out = false;
  for (;;) {
    for (const int number : signals.wait(deadline - steady_now(), socket)) {
      if (interrupted_ == 0 && daemon_ > 0) {
        interrupted_ = number;
        deadline = steady_now() + stop_limit;
        kill(daemon_, SIGTERM);
      }
    }
    const bool open = read_more(socket);
    read_lines();
    if (ready_ && interrupted_ == 0) {
      return 0;
    }
    if (!open) {
      break;
    }
    if (steady_now() >= deadline) {
      if (timed_out || daemon_ <= 0) {
        break;
      }
      timed_out = true;
      deadline = steady_now() + stop_limit;
      kill(daemon_, SIGTERM);
    }
  }
  if (failed_) {
    err_ << options_.program << ": " << text_ << '\n';
    return *failed_;
  }
  return unexpected_end();
}

}  // namespace

void StartReport::send(const std::string& text) {
  (void)!::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void StartReport::progress(int registered, int wanted) {
  send("progress " + std::to_string(registered) + " " + std::to_string(wanted) + "\n");
}

void StartReport::ready() {
  send("ready\n");
  socket_.close();
}

void StartReport::failed(int exit_code, const std::string& text) {
  send("failed " + std::to_string(exit_code) + "\n" + text);
  socket_.close();
}

int daemonize(const DaemonOptions& options,
              std::ostream& out,
              std::ostream& err,
              const std::function<int(StartReport&)>& body) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    err << options.program << ": cannot create a socket: " << errno_text(errno) << '\n';
    return 1;
  }
  FileDescriptor caller_end{ends[0]};
  FileDescriptor daemon_end{ends[1]};
  out.flush();
  err.flush();
  if (in_daemon(caller_end)) {
    redirect(options, daemon_end);
    const std::string hello = "pid " + std::to_string(getpid()) + "\n";
    (void)!send(daemon_end.get(), hello.data(), hello.size(), MSG_NOSIGNAL);
    StartReport report{std::move(daemon_end)};
    const int code = body(report);
    std::cout.flush();
    _exit(code);
  }
  daemon_end.close();
  return ReportReader(options, out, err).run(caller_end.get());
}

}  // namespace ipf
