#include "launcher/ssh_tunnel.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>
#include <utility>

#include "core/file_io.hpp"
#include "core/text.hpp"

namespace ipf {

namespace {

/// Between two looks at ssh. Waiting costs nothing else.
constexpr std::chrono::milliseconds look{50};
constexpr std::chrono::milliseconds look_when_open{500};
constexpr Duration end_patience = std::chrono::seconds(1);
constexpr std::size_t message_bytes_max = 500;

/// Runs its arguments and ends them when standard input ends, which it does when we die. Arguments
/// are arguments here: the shell never reads them as text.
constexpr const char* hang_on_input =
    R"(exec 3<&0; "$@" </dev/null & child=$!
(read -r _ <&3; kill "$child") 2>/dev/null & watcher=$!
wait "$child"; status=$?; kill "$watcher" 2>/dev/null; exit "$status")";

bool is_server_name(std::string_view server) {
  return !server.empty() && server.front() != '-' &&
         std::ranges::all_of(server, [](char c) { return c > ' ' && c != '\x7f'; });
}

struct Server {
  std::string name{};
  std::string port{};
};

/// `[user@]host[:port]`; an address of IPv6 has more colons and no port.
Server split_port(const std::string& server) {
  const std::size_t colon = server.rfind(':');
  if (colon == std::string::npos || server.find(':') != colon || colon + 1 == server.size() ||
      !std::ranges::all_of(server.substr(colon + 1), [](char c) { return c >= '0' && c <= '9'; })) {
    return {.name = server, .port = {}};
  }
  return {.name = server.substr(0, colon), .port = server.substr(colon + 1)};
}

/// Sleeps, or less when the thread is to stop.
void rest(const std::stop_token& stopping, Duration time) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, stopping, time, [] { return false; });
}

Result<void> write_file(const std::filesystem::path& path, std::string_view text, mode_t mode) {
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (file.get() < 0) {
    return unexpected(ErrorCode::io, "cannot write " + path.string() + ": " + errno_text(errno));
  }
  if (const int failed = write_all(file.get(), text); failed != 0) {
    return unexpected(ErrorCode::io, "cannot write " + path.string() + ": " + errno_text(failed));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<SshTunnel>> SshTunnel::start(const SshTunnelOptions& options) {
  if (!is_server_name(options.server)) {
    return unexpected(ErrorCode::invalid_argument,
                      "'" + options.server + "' cannot be an ssh server: [user@]host[:port]");
  }
  if (const auto ssh = find_program("ssh"); !ssh) {
    return unexpected(ssh.error());
  }
  std::string directory = (std::filesystem::temp_directory_path() / "ipf-ssh-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) {
    return unexpected(ErrorCode::io, "cannot make " + directory + ": " + errno_text(errno));
  }
  std::unique_ptr<SshTunnel> tunnel(new SshTunnel(options, directory));
  IPF_TRY(tunnel->spawn());
  tunnel->thread_ =
      std::jthread([self = tunnel.get()](const std::stop_token& stopping) { self->run(stopping); });
  return tunnel;
}

SshTunnel::~SshTunnel() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  end_process();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::optional<Error> SshTunnel::failure() const {
  const std::scoped_lock lock(mutex_);
  return failure_;
}

std::filesystem::path SshTunnel::socket_of(int port) const {
  return directory_ / ("port-" + std::to_string(port));
}

std::vector<std::string> SshTunnel::command() const {
  const Server server = split_port(options_.server);
  std::vector<std::string> out{"/bin/sh", "-c", hang_on_input, "sh", "ssh", "-N", "-T"};
  const auto option = [&](const char* text) { out.insert(out.end(), {"-o", text}); };
  option("ExitOnForwardFailure=yes");
  option("StreamLocalBindUnlink=yes");
  option("ServerAliveInterval=15");
  option("ServerAliveCountMax=3");
  option("ConnectTimeout=15");
  option("ControlMaster=no");
  option("ControlPath=none");
  option("LogLevel=ERROR");
  if (options_.password.empty()) {
    option("BatchMode=yes");
  } else {
    option("BatchMode=no");
    option("NumberOfPasswordPrompts=1");
  }
  if (!options_.key_file.empty()) {
    out.insert(out.end(), {"-i", options_.key_file});
  }
  if (!server.port.empty()) {
    out.insert(out.end(), {"-p", server.port});
  }
  for (const int port : options_.ports) {
    out.insert(out.end(),
               {"-L", socket_of(port).string() + ":" + options_.host + ":" + std::to_string(port)});
  }
  out.insert(out.end(), {"--", server.name});
  return out;
}

Result<void> SshTunnel::write_askpass() const {
  IPF_TRY(write_file(directory_ / "secret", options_.password + "\n", 0600));
  return write_file(directory_ / "askpass", "#!/bin/sh\nexec cat \"${0%askpass}secret\"\n", 0700);
}

Result<void> SshTunnel::spawn() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    return unexpected(ErrorCode::io, "cannot make a pipe: " + errno_text(errno));
  }
  const FileDescriptor input(ends[0]);
  lifeline_ = FileDescriptor(ends[1]);
  std::error_code ignored;
  for (const int port : options_.ports) {
    std::filesystem::remove(socket_of(port), ignored);
  }
  std::filesystem::remove(directory_ / "messages", ignored);
  ProcessOptions process{
      .argv = command(), .output_file = directory_ / "messages", .input = input.get()};
  if (!options_.password.empty()) {
    IPF_TRY(write_askpass());
    process.environment = {{"SSH_ASKPASS", (directory_ / "askpass").string()},
                           {"SSH_ASKPASS_REQUIRE", "force"},
                           {"DISPLAY", ":0"}};
  }
  auto spawned = Process::spawn(process);
  if (!spawned) {
    return unexpected(spawned.error());
  }
  process_.emplace(std::move(*spawned));
  return {};
}

void SshTunnel::run(const std::stop_token& stopping) {
  Duration pause = options_.retry_first;
  while (watch(stopping)) {
    if (!opened()) {
      fail();
      return;
    }
    rest(stopping, pause);
    pause = std::min(pause * 2, options_.retry_longest);
    if (stopping.stop_requested()) {
      return;
    }
    if (!spawn()) {
      process_.reset();  // tried again after the next pause
    }
  }
}

bool SshTunnel::watch(const std::stop_token& stopping) {
  bool open = false;
  while (!stopping.stop_requested()) {
    if (!process_ || process_->poll()) {
      return true;
    }
    if (!open && std::ranges::all_of(options_.ports, [this](int port) {
          std::error_code ignored;
          return std::filesystem::exists(socket_of(port), ignored);
        })) {
      open = true;
      opened_.store(true);
      std::error_code ignored;
      std::filesystem::remove(directory_ / "secret", ignored);
    }
    rest(stopping, open ? look_when_open : look);
  }
  return false;
}

void SshTunnel::end_process() {
  lifeline_ = FileDescriptor();
  if (!process_) {
    return;
  }
  const TimePoint deadline = steady_now() + end_patience;
  while (!process_->poll() && steady_now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  process_->signal_group(SIGKILL);
  for (const TimePoint last = steady_now() + end_patience;
       !process_->poll() && steady_now() < last;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void SshTunnel::fail() {
  std::string said = read_file(directory_ / "messages");
  while (!said.empty() && said.back() <= ' ') {
    said.pop_back();
  }
  if (said.size() > message_bytes_max) {
    said.erase(0, said.size() - message_bytes_max);
  }
  const bool refused = said.find("Permission denied") != std::string::npos;
  const std::scoped_lock lock(mutex_);
  failure_ = Error{refused ? ErrorCode::permission : ErrorCode::unavailable,
                   "no ssh tunnel by way of '" + options_.server +
                       "': " + (said.empty() ? "ssh ended without a word" : said)};
}

}  // namespace ipf
