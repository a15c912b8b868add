#include "net/zmtp_router.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "net/tcp_listen.hpp"

namespace ipf {

namespace {

constexpr std::size_t introduced_max = 10'000;
constexpr Duration accept_pause = std::chrono::seconds(1);
constexpr Duration proof_time = std::chrono::seconds(3);
constexpr Duration log_distance = std::chrono::seconds(10);

}  // namespace

class ZmtpRouter::Listener final : public IoHandler {
 public:
  Listener(ZmtpRouter& router, int fd) : router_(router), fd_(fd) {
    router_.loop_.add(fd_, EPOLLIN, *this);
  }
  ~Listener() override {
    router_.loop_.remove(fd_, *this);
    close(fd_);
  }
  void on_io(std::uint32_t /*events*/) override { router_.accept_all(fd_); }
  void pause() { router_.loop_.change(fd_, 0, *this); }
  void resume() { router_.loop_.change(fd_, EPOLLIN, *this); }

 private:
  ZmtpRouter& router_;
  int fd_;
};

ZmtpRouter::ZmtpRouter(IoLoop& loop, std::string name, const Options& options, Log& log)
    : ZmtpHost(loop, options.unsent_bytes_max),
      name_(std::move(name)),
      options_(options),
      session_options_{.type = options.type,
                       .identity = options.identity,
                       .message_bytes_max = options.message_bytes_max,
                       .curve = options.curve},
      log_(log),
      next_name_(std::random_device{}()) {}

ZmtpRouter::~ZmtpRouter() {
  flush();
  for (const auto& [fd, connection] : connections_) {
    loop_.remove(fd, *connection);
  }
}

Result<int> ZmtpRouter::bind(std::string_view interface, int port) {
  const auto listening = listen_tcp(interface, port);
  if (!listening) {
    return unexpected(listening.error());
  }
  listeners_.push_back(std::make_unique<Listener>(*this, listening->fd));
  return listening->port;
}

void ZmtpRouter::accept_all(int listening_fd) {
  for (int i = 0; i < 64; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    const int fd = accept4(listening_fd, reinterpret_cast<sockaddr*>(&peer), &size,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        pause_accepting(std::strerror(errno));  // NOLINT(concurrency-mt-unsafe)
        return;
      }
      if (errno == EINTR || errno == ECONNABORTED) {
        continue;
      }
      return;
    }
    if (connections_.size() >= options_.connections_max) {
      close(fd);
      pause_accepting("too many connections");
      return;
    }
    add_connection(fd, address_text(peer, size));
  }
}

void ZmtpRouter::pause_accepting(const char* why) {
  const TimePoint now = steady_now();
  for (const auto& listener : listeners_) {
    listener->pause();
  }
  accept_again_ = now + accept_pause;
  if (now >= quiet_until_) {
    quiet_until_ = now + log_distance;
    log_.error(name_ + ": new connections must wait: " + why + " (" +
               std::to_string(connections_.size()) + " are open)");
  }
}

void ZmtpRouter::add_connection(int fd, std::string address) {
  tune_tcp(fd);
  const TimePoint deadline = steady_now() + options_.handshake_time;
  ZmtpHost& host = *this;
  auto connection =
      std::make_unique<ZmtpConnection>(host, session_options_, fd, std::move(address), deadline);
  loop_.add(fd, EPOLLIN, *connection);
  ZmtpConnection& added = *connection;
  connections_.emplace(fd, std::move(connection));
  traffic_.connections = connections_.size();
  added.watch();
  handshakes_.emplace_back(deadline, fd);
  added.flush();
}

bool ZmtpRouter::introduce(ZmtpConnection& connection) {
  std::string identity =
      options_.type == ZmtpType::router ? connection.session().peer_identity() : std::string{};
  if (identity.empty()) {  // a name as libzmq makes them: five bytes, the first one zero
    const std::uint32_t number = next_name_++;
    identity.assign(1, '\0');
    for (const unsigned shift : {24U, 16U, 8U, 0U}) {
      identity += static_cast<char>((number >> shift) & 0xffU);
    }
    if (introduced_.size() < introduced_max) {
      introduced_.push_back(identity);
    }
  }
  if (const auto holder = by_identity_.find(identity); holder != by_identity_.end()) {
    const TimePoint deadline = steady_now() + proof_time;
    challenges_.emplace_back(deadline, holder->second->fd());
    holder->second->challenge(deadline);
  }
  if (!by_identity_.emplace(identity, &connection).second) {
    claims_.emplace(std::move(identity), &connection);
    return false;
  }
  if (identity.front() != '\0' && named_.size() < introduced_max) {
    named_.push_back(identity);
  }
  connection.introduce(std::move(identity));
  if (options_.type == ZmtpType::sub &&
      connection.queue({}, zmtp_subscription(connection.identity()), 1)) {
    dirty_.push_back(&connection);
  }
  return true;
}

void ZmtpRouter::drop(ZmtpConnection& connection, std::string_view why) {
  const auto held = connections_.find(connection.fd());
  if (connection.dropped() || held == connections_.end()) {
    return;
  }
  if (const TimePoint now = steady_now(); !why.empty() && now >= quiet_until_) {
    quiet_until_ = now + log_distance;
    log_.warning(name_ + ": closed the connection of " + connection.address() + ": " +
                 std::string(why));
  }
  connection.mark_dropped();
  loop_.remove(connection.fd(), connection);
  discarded_.push_back(std::move(held->second));
  connections_.erase(held);
  traffic_.connections = connections_.size();
  traffic_.closed += why.empty() ? 0U : 1U;
  if (connection.parked()) {
    std::erase_if(claims_, [&](const auto& claim) { return claim.second == &connection; });
  }
  if (connection.introduced()) {
    by_identity_.erase(connection.identity());
    settle_claims(connection.identity());
  }
}

void ZmtpRouter::settle_claims(const std::string& identity) {
  if (const auto claim = claims_.find(identity); claim != claims_.end()) {
    ZmtpConnection& next = *claim->second;
    claims_.erase(claim);
    next.start();
  }
}

void ZmtpRouter::prove(const ZmtpConnection& holder) {
  for (auto claim = claims_.find(holder.identity()); claim != claims_.end();
       claim = claims_.find(holder.identity())) {
    ZmtpConnection& claimant = *claim->second;
    claims_.erase(claim);
    ++traffic_.identities_refused;
    drop(claimant, "its identity belongs to another connection");
  }
}

std::optional<Frames> ZmtpRouter::receive() {
  auto frames = take_message();
  if (frames) {
    ++traffic_.messages_in;
    traffic_.bytes_in += frames->total_bytes();
  }
  return frames;
}

SendResult ZmtpRouter::send(std::span<const std::string_view> first,
                            const Frames& rest,
                            std::size_t from) {
  const std::string_view identity = first.empty() ? rest[from] : first.front();
  const auto found = by_identity_.find(identity);
  if (found == by_identity_.end()) {
    return SendResult::unroutable;
  }
  if (options_.type == ZmtpType::xpub &&
      found->second->unsent_bytes() > options_.unsent_bytes_max / 2) {
    return SendResult::failed;
  }
  if (found->second->queue(first, rest, first.empty() ? from + 1 : from)) {
    dirty_.push_back(found->second);
  }
  ++traffic_.messages_out;
  traffic_.bytes_out += rest.total_bytes();
  return SendResult::sent;
}

void ZmtpRouter::pause_reading(bool pause) {
  if (pause == reading_paused_) {
    return;
  }
  reading_paused_ = pause;
  for (const auto& [fd, connection] : connections_) {
    connection->watch();
  }
}

void ZmtpRouter::pause_reading_of(std::string_view identity, bool pause) {
  if (const auto found = by_identity_.find(identity); found != by_identity_.end()) {
    found->second->pause_reading(pause);
  }
}

void ZmtpRouter::check_deadlines(TimePoint now) {
  while (!handshakes_.empty() && handshakes_.front().first <= now) {
    const auto [deadline, fd] = handshakes_.front();
    handshakes_.pop_front();
    const auto found = connections_.find(fd);
    if (found != connections_.end() && !found->second->introduced() &&
        found->second->handshake_deadline() == deadline) {
      drop(*found->second, "no handshake in time");
    }
  }
  while (!challenges_.empty() && challenges_.front().first <= now) {
    const auto found = connections_.find(challenges_.front().second);
    challenges_.pop_front();
    if (found != connections_.end() && found->second->overdue(now)) {
      drop(*found->second, "another connection claims its identity and it gives no sign of life");
    }
  }
  if (accept_again_ <= now) {
    accept_again_ = TimePoint::never();
    for (const auto& listener : listeners_) {
      listener->resume();
    }
  }
}

TimePoint ZmtpRouter::next_deadline() const {
  return std::min({handshakes_.empty() ? TimePoint::never() : handshakes_.front().first,
                   challenges_.empty() ? TimePoint::never() : challenges_.front().first,
                   accept_again_});
}

std::string ZmtpRouter::peer_address(std::string_view identity) const {
  const auto found = by_identity_.find(identity);
  return found == by_identity_.end() ? std::string{} : found->second->address();
}

}  // namespace ipf
