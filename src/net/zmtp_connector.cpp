#include "net/zmtp_connector.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netdb.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/check.hpp"

namespace ipf {

namespace {

struct Address {
  sockaddr_storage bytes{};
  socklen_t size{};
};

Result<Address> ipc_address(const std::string& path) {
  Address out;
  auto& address = reinterpret_cast<sockaddr_un&>(out.bytes);
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return unexpected(ErrorCode::invalid_argument, "the path of a socket has 1 to 107 characters");
  }
  path.copy(address.sun_path, path.size());
  out.size = sizeof address;
  return out;
}

Result<Address> tcp_address(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return unexpected(ErrorCode::invalid_argument, "there is no port in it");
  }
  std::string host(text.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port(text.substr(colon + 1));
  if (const int failure = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); failure != 0) {
    return unexpected(ErrorCode::invalid_argument, gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  Address out;
  std::memcpy(&out.bytes, found->ai_addr, found->ai_addrlen);
  out.size = found->ai_addrlen;
  return out;
}

Result<Address> address_of(const std::string& url) {
  constexpr std::string_view tcp = "tcp://";
  constexpr std::string_view ipc = "ipc://";
  auto address = url.starts_with(tcp)   ? tcp_address(std::string_view(url).substr(tcp.size()))
                 : url.starts_with(ipc) ? ipc_address(url.substr(ipc.size()))
                                        : unexpected(ErrorCode::invalid_argument,
                                                     "only tcp:// and ipc:// are possible");
  if (!address) {
    return unexpected(address.error().code,
                      "cannot connect to " + printable(url) + ": " + address.error().message);
  }
  return address;
}

}  // namespace

ZmtpConnector::ZmtpConnector(IoLoop& loop, const Options& options, Log& log)
    : ZmtpHost(loop, options.unsent_bytes_max), options_(options), log_(log) {}

ZmtpConnector::~ZmtpConnector() {
  for (const auto& link : links_) {
    if (link->connection) {
      loop_.remove(link->connection->fd(), *link->connection);
    }
  }
}

Result<void> ZmtpConnector::connect(ZmtpType type,
                                    std::string name,
                                    const std::string& url,
                                    const std::string& identity) {
  IPF_CHECK(!name.empty() && find(name) == nullptr);
  const auto address = address_of(url);
  if (!address) {
    return unexpected(address.error());
  }
  auto link = std::make_unique<Link>();
  link->name = std::move(name);
  link->url = url;
  link->session = {.type = type,
                   .identity = identity,
                   .message_bytes_max = options_.message_bytes_max,
                   .curve = options_.curve};
  link->address = address->bytes;
  link->address_size = address->size;
  link->pause = options_.retry_first;
  links_.push_back(std::move(link));
  open(*links_.back());
  return {};
}

void ZmtpConnector::open(Link& link) {
  link.retry_at = TimePoint::never();
  const int fd = socket(link.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    try_again(link);
    return;
  }
  if (link.address.ss_family != AF_UNIX) {
    tune_tcp(fd);
  }
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&link.address), link.address_size) != 0 &&
      errno != EINPROGRESS) {
    close(fd);
    try_again(link);
    return;
  }
  ZmtpHost& host = *this;
  link.connection = std::make_unique<ZmtpConnection>(host, link.session, fd, link.url,
                                                     steady_now() + options_.handshake_time);
  loop_.add(fd, EPOLLIN, *link.connection);
  link.connection->watch();
}

void ZmtpConnector::try_again(Link& link) {
  link.retry_at = steady_now() + link.pause;
  link.pause = std::min(link.pause * 2, options_.retry_longest);
}

bool ZmtpConnector::introduce(ZmtpConnection& connection) {
  Link& link = link_of(connection);
  connection.introduce(link.name);
  link.up = true;
  link.pause = options_.retry_first;
  if (link.session.type == ZmtpType::sub) {
    connection.queue({}, zmtp_subscription(link.name), 1);
  }
  for (const Frames& frames : link.held) {
    connection.queue({}, frames, 1);
  }
  link.held.clear();
  link.held_bytes = 0;
  dirty_.push_back(&connection);
  changes_.push_back({.name = link.name, .up = true});
  if (options_.probe_interval > Duration{} && probe_at_ == TimePoint::never()) {
    probe_at_ = steady_now() + options_.probe_interval;
  }
  return true;
}

void ZmtpConnector::drop(ZmtpConnection& connection, std::string_view why) {
  if (connection.dropped()) {
    return;
  }
  Link& link = link_of(connection);
  if (!why.empty()) {
    log_.warning("closed the connection to " + link.url + ": " + std::string(why));
  }
  connection.mark_dropped();
  loop_.remove(connection.fd(), connection);
  discarded_.push_back(std::move(link.connection));
  if (std::exchange(link.up, false)) {
    changes_.push_back({.name = link.name, .up = false});
  }
  try_again(link);
}

SendResult ZmtpConnector::send(std::span<const std::string_view> first,
                               const Frames& rest,
                               std::size_t from) {
  Link* link = find(first.empty() ? rest[from] : first.front());
  if (link == nullptr) {
    return SendResult::unroutable;
  }
  if (link->up) {
    if (link->connection->queue(first, rest, first.empty() ? from + 1 : from)) {
      dirty_.push_back(link->connection.get());
    }
    return SendResult::sent;
  }
  FramesBuilder held;
  for (const std::string_view frame : first) {
    held.add(frame);
  }
  held.add_from(rest, from);
  Frames frames = held.finish();
  if (link->held_bytes + frames.total_bytes() > options_.held_bytes_max) {
    return SendResult::failed;
  }
  link->held_bytes += frames.total_bytes();
  link->held.push_back(std::move(frames));
  return SendResult::sent;
}

void ZmtpConnector::check_deadlines(TimePoint now) {
  probe(now);
  for (const auto& link : links_) {
    if (link->retry_at <= now) {
      open(*link);
    } else if (link->connection && !link->up && link->connection->handshake_deadline() <= now) {
      drop(*link->connection, "no handshake in time");
    }
  }
}

void ZmtpConnector::probe(TimePoint now) {
  if (now < probe_at_ || links_.empty()) {
    return;
  }
  probe_at_ = now + options_.probe_interval;
  const Link& first = *links_.front();
  if (!first.up) {
    return;
  }
  if (first.connection->overdue(now)) {
    for (const auto& link : links_) {
      if (link->connection) {
        drop(*link->connection, link->up ? "no sign of life from the other end" : "");
      }
    }
    return;
  }
  first.connection->challenge(now + options_.proof_time);
}

TimePoint ZmtpConnector::next_deadline() const {
  TimePoint next = probe_at_;
  for (const auto& link : links_) {
    next = std::min(next, link->retry_at);
    if (link->connection && !link->up) {
      next = std::min(next, link->connection->handshake_deadline());
    }
  }
  return next;
}

bool ZmtpConnector::is_up(std::string_view name) const {
  return std::ranges::any_of(links_,
                             [&](const auto& link) { return link->up && link->name == name; });
}

void ZmtpConnector::linger(Duration most) {
  const TimePoint deadline = steady_now() + most;
  const auto pending = [this] {
    return std::ranges::any_of(
        links_, [](const auto& link) { return link->up && !link->connection->all_sent(); });
  };
  for (flush(); pending() && steady_now() < deadline; flush()) {
    loop_.wait(steady_now(), deadline);
  }
}

ZmtpConnector::Link* ZmtpConnector::find(std::string_view name) {
  const auto found =
      std::ranges::find_if(links_, [&](const auto& link) { return link->name == name; });
  return found == links_.end() ? nullptr : found->get();
}

ZmtpConnector::Link& ZmtpConnector::link_of(const ZmtpConnection& connection) {
  const auto found = std::ranges::find_if(
      links_, [&](const auto& link) { return link->connection.get() == &connection; });
  IPF_CHECK(found != links_.end());
  return **found;
}

}  // namespace ipf
