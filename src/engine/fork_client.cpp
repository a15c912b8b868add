#include "engine/fork_client.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "core/text.hpp"
#include "net/poll_timeout.hpp"
#include "protocol/json_text.hpp"

namespace ipf::engine {

namespace {

constexpr std::size_t request_bytes_max = std::size_t{16} << 20U;
constexpr Duration request_time = std::chrono::seconds(2);
/// Imports of the packages to preload come before the first answer.
constexpr Duration answer_time = std::chrono::seconds(60);

struct Address {
  sockaddr_un bytes{};
  socklen_t size{};
};

Address abstract_address(const std::string& name) {
  Address out;
  out.bytes.sun_family = AF_UNIX;
  const std::size_t size = std::min(name.size(), sizeof out.bytes.sun_path - 1);
  std::memcpy(&out.bytes.sun_path[1], name.data(), size);  // the first byte stays zero
  out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
  return out;
}

bool wait_for(int fd, short events, TimePoint deadline) {
  pollfd item{fd, events, 0};
  return poll(&item, 1, poll_timeout_ms(steady_now(), deadline)) > 0;
}

bool send_all(int fd, std::string_view bytes, TimePoint deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if ((sent < 0 && errno != EAGAIN && errno != EINTR) ||
               !wait_for(fd, POLLOUT, deadline)) {
      return false;
    }
  }
  return true;
}

union ControlSpace {
  cmsghdr head;
  std::array<char, CMSG_SPACE(sizeof(ForkDescriptors))> bytes;
};

Error gone() {
  return {ErrorCode::closed, "the fork server is gone"};
}

}  // namespace

Json fork_request_json(const ForkRequest& request) {
  return {{"arguments", request.arguments},   {"environment", request.environment},
          {"work_dir", request.work_dir},     {"file", request.file},
          {"generation", request.generation}, {"wanted_id", request.wanted_id}};
}

ForkRequest fork_request_of(const Json& json) {
  return {.arguments = json.value("arguments", std::vector<std::string>{}),
          .environment = json.value("environment", std::vector<std::string>{}),
          .work_dir = json.value("work_dir", std::string()),
          .file = json.value("file", std::string()),
          .generation = json.value("generation", 0),
          .wanted_id = json.value("wanted_id", -1)};
}

Result<int> listen_for_forks(const std::string& name) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const Address address = abstract_address(name);
  constexpr int backlog = 4096;
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address.bytes), address.size) != 0 ||
      listen(fd, backlog) != 0) {
    const int reason = errno;
    close(fd);
    return unexpected(ErrorCode::io, "cannot listen for engines to fork: " + errno_text(reason));
  }
  return fd;
}

bool is_same_user(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

Result<ForkRequest> receive_fork_request(int socket, ForkDescriptors& descriptors) {
  const TimePoint deadline = steady_now() + request_time;
  std::uint64_t size = 0;
  ControlSpace control{};
  iovec part{&size, sizeof size};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != sizeof size) {
    return unexpected(ErrorCode::closed, "the nanny is gone");
  }
  const cmsghdr* head = CMSG_FIRSTHDR(&message);
  if (head == nullptr || head->cmsg_type != SCM_RIGHTS ||
      head->cmsg_len != CMSG_LEN(sizeof descriptors) || size > request_bytes_max) {
    return unexpected(ErrorCode::malformed, "a request without its descriptors");
  }
  std::memcpy(descriptors.data(), CMSG_DATA(head), sizeof descriptors);
  std::string text(size, '\0');
  for (std::size_t got = 0; got < size;) {
    const ssize_t more = recv(socket, &text[got], size - got, 0);
    if (more > 0) {
      got += static_cast<std::size_t>(more);
    } else if (more == 0 || (errno != EAGAIN && errno != EINTR) ||
               !wait_for(socket, POLLIN, deadline)) {
      return unexpected(ErrorCode::closed, "the nanny's request is not complete");
    }
  }
  const auto json = parse_json_object(text, "a request to fork");
  if (!json) {
    return unexpected(json.error());
  }
  return fork_request_of(*json);
}

ForkClient::ForkClient(ForkClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), text_(std::move(other.text_)) {}

ForkClient::~ForkClient() {
  close();
}

void ForkClient::close() {
  if (fd_ >= 0) {
    ::close(std::exchange(fd_, -1));
  }
}

Result<ForkClient> ForkClient::connect(const std::string& name, Duration patience) {
  const TimePoint deadline = steady_now() + patience;
  const Address address = abstract_address(name);
  ForkClient client;
  client.fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  while (::connect(client.fd_, reinterpret_cast<const sockaddr*>(&address.bytes), address.size) !=
         0) {
    if (steady_now() >= deadline) {
      return unexpected(ErrorCode::unavailable, "there is no fork server: " + errno_text(errno));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (!is_same_user(client.fd_)) {
    return unexpected(ErrorCode::unavailable, "the fork server belongs to somebody else");
  }
  return client;
}

Result<pid_t> ForkClient::start(const ForkRequest& request, std::span<const int> descriptors) {
  const std::string text = dump_json(fork_request_json(request));
  std::uint64_t size = text.size();
  ControlSpace control{};
  iovec part{&size, sizeof size};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(ForkDescriptors));
  std::memcpy(CMSG_DATA(head), descriptors.data(), sizeof(ForkDescriptors));
  if (sendmsg(fd_, &message, MSG_NOSIGNAL) != sizeof size ||
      !send_all(fd_, text, steady_now() + request_time)) {
    close();
    return unexpected(gone());
  }
  const TimePoint deadline = steady_now() + answer_time;
  while (const auto line = read_line(deadline)) {
    const auto answer = parse_json_object(*line, "the fork server's answer");
    if (answer && answer->contains("error")) {
      return unexpected(ErrorCode::io, string_or(*answer, "error"));
    }
    if (answer && !answer->contains("ended") && answer->contains("pid")) {
      return answer->value("pid", pid_t{-1});
    }
  }
  close();
  return unexpected(gone());
}

std::optional<int> ForkClient::end_of(pid_t engine, Duration patience) {
  const TimePoint deadline = steady_now() + patience;
  while (const auto line = read_line(deadline)) {
    const auto answer = parse_json_object(*line, "the fork server's answer");
    if (answer && answer->contains("ended") && answer->value("pid", pid_t{-1}) == engine) {
      return answer->value("ended", 0);
    }
  }
  return std::nullopt;
}

std::optional<std::string> ForkClient::read_line(TimePoint deadline) {
  while (true) {
    if (const auto end = text_.find('\n'); end != std::string::npos) {
      std::string line = text_.substr(0, end);
      text_.erase(0, end + 1);
      return line;
    }
    if (fd_ < 0 || !wait_for(fd_, POLLIN, deadline)) {
      return std::nullopt;
    }
    std::array<char, 4096> chunk{};
    const ssize_t got = recv(fd_, chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
      close();
      return std::nullopt;
    }
    text_.append(chunk.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  }
}

}  // namespace ipf::engine
