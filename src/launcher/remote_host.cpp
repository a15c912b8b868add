#include "launcher/remote_host.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "core/log.hpp"
#include "core/text.hpp"
#include "launcher/batch_system.hpp"

namespace ipf {

namespace {

constexpr std::size_t line_bytes_max = 64UL * 1024;
constexpr std::size_t complaint_bytes_max = 2000;

/// What runs on the other host, for any POSIX sh. Orders come on stdin, one a line:
///   D dir|-     the profile directory; - makes one     F path n   n bytes of a file follow
///   S i log ... start a program                        W i pid    watch one that runs already
///   K sig pid   send a signal                          X pid      kill its whole session
///   G name      send a file of the security folder
/// Each program has a waiting subshell, which survives the connection and tidies up.
constexpr std::string_view agent = R"sh(
umask 077; unset IPP_CONNECTION_INFO; trap '' HUP PIPE
d= ; own=
say() { printf '%s\n' "$*"; }
lock() { n=0; until mkdir "$d/.lock" 2>/dev/null; do n=$((n+1)); [ $n -gt 100 ] && return; sleep 0.05; done; }
unlock() { rmdir "$d/.lock" 2>/dev/null; }
ended() {
  lock
  if [ -f "$3" ]; then tail -c 65536 "$3" | sed "s/^/log $1 /"; echo; fi
  say "exit $1 $2"; rm -f "$d/.run.$1"
  if [ -n "$own" ] && ! ls "$d"/.run.* >/dev/null 2>&1; then rm -rf "$d"; else unlock; fi
}
begin() {
  i=$1; log="$d/log/$2"; shift 2
  : >"$d/.run.$i"
  ( trap - HUP PIPE
    if command -v setsid >/dev/null 2>&1; then setsid "$@" </dev/null >>"$log" 2>&1 &
    else "$@" </dev/null >>"$log" 2>&1 & fi
    p=$!; trap '' HUP PIPE
    say "pid $i $p"; wait $p; ended $i $? "$log" ) 2>/dev/null &
}
watch() { kill -0 $2 2>/dev/null && say "pid $1 $2"; ( while kill -0 $2 2>/dev/null; do sleep 0.2; done; say "exit $1 -1" ) & }
fetch() {
  ( f="$d/security/$1"
    while [ ! -s "$f" ]; do [ -e "$d/.run.0" ] || exit 0; sleep 0.02; done
    lock; sed "s/^/file $1 /" "$f"; echo; say "fetched $1"; unlock ) &
}
while IFS= read -r line; do
  o=${line%% *}; r=${line#* }
  case $o in
  D) if [ "$r" = - ]; then d=$(mktemp -d) && own=1; else d=$r; fi
     mkdir -p "$d/security" "$d/log" "$d/pid" || { say "failed cannot make $d"; exit 1; }
     [ -e "$d/.own" ] && own=1; [ -n "$own" ] && : >"$d/.own"
     d=$(cd "$d" && pwd); say "dir $d"; export IPP_PROFILE_DIR="$d" ;;
  F) n=${r##* }; f=${r% *}; case $f in /*) ;; *) f="$d/$f" ;; esac
     mkdir -p "$(dirname "$f")" && dd bs=1 count=$n of="$f" 2>/dev/null || say "failed cannot write $f" ;;
  S) eval "begin $r" ;;
  W) watch $r ;;
  K) kill -s $r 2>/dev/null ;;
  X) kill -s KILL -- -$r 2>/dev/null || kill -s KILL $r 2>/dev/null ;;
  G) fetch $r ;;
  esac
done
)sh";

/// The name that `kill -s` of every sh knows, without SIG.
std::string short_signal(int number) {
  return signal_name(number).substr(3);
}

std::string_view take_word(std::string_view& text) {
  const std::size_t blank = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, blank);
  text.remove_prefix(std::min(blank + 1, text.size()));
  return word;
}

int to_number(std::string_view text) {
  int out = -1;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

void set_nonblocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

}  // namespace

RemoteHost::RemoteHost(std::vector<std::string> ssh, std::string label)
    : ssh_(std::move(ssh)), label_(std::move(label)) {}

RemoteHost::~RemoteHost() {
  if (process_) {
    process_->signal(SIGTERM);
    process_->poll();
  }
}

Result<void> RemoteHost::open(const std::string& directory) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  // A socket for the orders: a pipe would raise SIGPIPE here when ssh is gone.
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in.data()) != 0) {
    return unexpected(ErrorCode::io, "cannot create a socket: " + errno_text(errno));
  }
  const FileDescriptor child_in{in[0]};
  orders_ = FileDescriptor{in[1]};
  if (pipe2(out.data(), O_CLOEXEC) != 0) {
    return unexpected(ErrorCode::io, "cannot create a pipe: " + errno_text(errno));
  }
  answers_ = FileDescriptor{out[0]};
  const FileDescriptor child_out{out[1]};
  complaints_ = FileDescriptor{memfd_create("ipyfleet-ssh", MFD_CLOEXEC)};
  set_nonblocking(orders_.get());
  set_nonblocking(answers_.get());
  std::vector<std::string> argv = ssh_;
  // The script comes by stdin, too: the words here mean the same to every login shell.
  argv.push_back("exec sh -c 'eval \"$(dd bs=1 count=" + std::to_string(agent.size()) +
                 " 2>/dev/null)\"'");
  Result<Process> process = Process::spawn({.argv = argv,
                                            .environment = {},
                                            .input = child_in.get(),
                                            .output = child_out.get(),
                                            .error = complaints_.get()});
  if (!process) {
    return unexpected(process.error());
  }
  process_ = std::move(*process);
  orders_end_ = false;
  unread_.clear();
  unsent_ = std::string{agent};
  order("D " + (directory.empty() ? "-" : directory));
  return {};
}

void RemoteHost::order(const std::string& line) {
  unsent_ += line + "\n";
  flush();
}

void RemoteHost::flush() {
  while (orders_ && !unsent_.empty()) {
    const ssize_t sent = send(orders_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN && errno != EINTR) {
        unsent_.clear();  // ssh is gone
      }
      return;
    }
    unsent_.erase(0, static_cast<std::size_t>(sent));
  }
  if (orders_end_ && unsent_.empty()) {
    orders_.close();
  }
}

void RemoteHost::close_orders() {
  orders_end_ = true;
  flush();
}

void RemoteHost::send_file(const std::string& path, const std::string& content) {
  unsent_ += "F " + path + " " + std::to_string(content.size()) + "\n" + content;
  flush();
}

void RemoteHost::start(int index,
                       const std::vector<EnvironmentChange>& environment,
                       const std::vector<std::string>& argv,
                       const std::string& log) {
  std::vector<std::string> words{std::to_string(index), log, "env"};
  for (const auto& [name, value] : environment) {
    if (value) {
      words.push_back(name + "=" + *value);
    }
  }
  words.insert(words.end(), argv.begin(), argv.end());
  order("S " + shell_words(words));
}

void RemoteHost::watch(int index, int pid) {
  order("W " + std::to_string(index) + " " + std::to_string(pid));
}

void RemoteHost::signal(int pid, int number) {
  order("K " + short_signal(number) + " " + std::to_string(pid));
}

void RemoteHost::kill(int pid) {
  order("X " + std::to_string(pid));
}

void RemoteHost::fetch(const std::string& name) {
  order("G " + name);
}

std::optional<RemoteEvent> RemoteHost::parse(std::string_view line) {
  using Kind = RemoteEvent::Kind;
  const std::string_view word = take_word(line);
  if (word == "dir" || word == "failed") {
    return RemoteEvent{.kind = word == "dir" ? Kind::directory : Kind::failed,
                       .text = std::string{line}};
  }
  if (word == "pid" || word == "exit") {
    const int index = to_number(take_word(line));
    return RemoteEvent{
        .kind = word == "pid" ? Kind::pid : Kind::ended, .index = index, .number = to_number(line)};
  }
  if (word == "log") {
    const int index = to_number(take_word(line));
    return RemoteEvent{.kind = Kind::log, .index = index, .text = std::string{line}};
  }
  if (word == "file" || word == "fetched") {
    const std::string name{take_word(line)};
    return RemoteEvent{.kind = word == "file" ? Kind::file : Kind::fetched,
                       .name = name,
                       .text = std::string{line}};
  }
  return std::nullopt;  // a greeting of the login shell
}

void RemoteHost::read_lines(std::vector<RemoteEvent>& events) {
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t got = read(answers_.get(), buffer.data(), buffer.size());
    if (got <= 0) {
      break;
    }
    unread_.append(buffer.data(), static_cast<std::size_t>(got));
    std::size_t begin = 0;
    for (std::size_t end = unread_.find('\n'); end != std::string::npos;
         end = unread_.find('\n', begin)) {
      if (auto event = parse(std::string_view{unread_}.substr(begin, end - begin))) {
        events.push_back(std::move(*event));
      }
      begin = end + 1;
    }
    unread_.erase(0, begin);
    if (unread_.size() > line_bytes_max) {
      unread_.clear();
    }
  }
}

void RemoteHost::poll(std::vector<RemoteEvent>& events) {
  if (!process_) {
    return;
  }
  flush();
  const auto status = process_->poll();  // before the last read, so that nothing is missed
  read_lines(events);
  if (!status) {
    return;
  }
  std::string said(complaint_bytes_max, '\0');
  const ssize_t got = pread(complaints_.get(), said.data(), said.size(), 0);
  said.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  std::ranges::replace(said, '\n', ' ');
  std::erase(said, '\r');
  while (said.ends_with(' ')) {
    said.pop_back();
  }
  process_.reset();
  orders_.close();
  events.push_back({.kind = RemoteEvent::Kind::lost,
                    .text = "ssh to " + label_ + " ended: " + to_text(*status) +
                            (said.empty() ? "" : ": " + printable(said, 400))});
}

}  // namespace ipf
