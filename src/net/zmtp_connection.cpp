#include "net/zmtp_connection.hpp"

#include <array>
#include <cerrno>
#include <iterator>
#include <netinet/in.h>  // NOLINT(misc-include-cleaner): IPPROTO_TCP
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace ipf {

namespace {
/// Blocks of small frames are not kept beyond this, so that an idle peer costs nothing.
constexpr std::size_t spare_max = std::size_t{64} << 10U;
constexpr std::size_t block_max = std::size_t{1} << 20U;
constexpr std::size_t scratch_size = std::size_t{128} << 10U;

void set_option(int fd, int level, int name, int value) {
  // An option that this kernel lacks costs speed or patience, not correctness.
  [[maybe_unused]] const int ignored = setsockopt(fd, level, name, &value, sizeof value);
}
}  // namespace

void tune_tcp(int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

// ---- ZmtpHost -----------------------------------------------------------------------------------

ZmtpHost::ZmtpHost(IoLoop& loop, std::size_t unsent_bytes_max)
    : loop_(loop), unsent_bytes_max_(unsent_bytes_max), scratch_(scratch_size) {}

void ZmtpHost::take_arrived() {
  std::move(arrived_.begin(), arrived_.end(), std::back_inserter(inbox_));
  arrived_.clear();
}

std::optional<Frames> ZmtpHost::take_message() {
  if (inbox_.empty()) {
    return std::nullopt;
  }
  Frames frames = std::move(inbox_.front());
  inbox_.pop_front();
  return frames;
}

void ZmtpHost::flush_dirty() {
  for (std::size_t i = 0; i < dirty_.size(); ++i) {
    if (!dirty_[i]->dropped()) {
      dirty_[i]->flush();
    }
  }
  dirty_.clear();
  discarded_.clear();
}

// ---- SendQueue ----------------------------------------------------------------------------------

std::string& SendQueue::tail() {
  if (segments_.empty() || segments_.back().large.owner != nullptr ||
      segments_.back().bytes.size() >= block_max) {
    segments_.emplace_back();
    segments_.back().bytes = std::move(spare_);
    spare_.clear();
  }
  return segments_.back().bytes;
}

void SendQueue::add_frame(std::string_view bytes, bool more) {
  std::string& block = tail();
  const std::size_t before = block.size();
  append_zmtp_header(block, bytes.size(), more);
  block += bytes;
  size_ += block.size() - before;
}

void SendQueue::add_frame(SharedBytes bytes, bool more) {
  std::string& block = tail();
  const std::size_t before = block.size();
  append_zmtp_header(block, bytes.bytes.size(), more);
  size_ += block.size() - before + bytes.bytes.size();
  segments_.push_back({.bytes = {}, .large = std::move(bytes)});
}

bool SendQueue::write_to(int fd) {
  while (size_ > 0) {
    std::array<iovec, 64> parts{};
    std::size_t count = 0;
    for (auto segment = segments_.begin(); segment != segments_.end() && count < parts.size();
         ++segment) {
      std::string_view bytes = segment->view();
      if (count == 0) {
        bytes.remove_prefix(written_);
      }
      parts[count++] = {.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) {
        continue;
      }
      return errno == EAGAIN;
    }
    consume(static_cast<std::size_t>(sent));
  }
  return true;
}

void SendQueue::consume(std::size_t count) {
  size_ -= count;
  while (!segments_.empty()) {
    Segment& first = segments_.front();
    const std::size_t left = first.view().size() - written_;
    if (count < left) {
      written_ += count;
      return;
    }
    count -= left;
    written_ = 0;
    if (first.large.owner == nullptr && first.bytes.capacity() <= spare_max) {
      spare_ = std::move(first.bytes);
      spare_.clear();
    }
    segments_.pop_front();
  }
}

// ---- ZmtpConnection -----------------------------------------------------------------------------

ZmtpConnection::ZmtpConnection(ZmtpHost& host,
                               const ZmtpSession::Options& options,
                               int fd,
                               std::string address,
                               TimePoint handshake_deadline)
    : host_(host),
      fd_(fd),
      address_(std::move(address)),
      handshake_deadline_(handshake_deadline),
      session_(options) {
  out_.add_raw(session_.hello());
}

ZmtpConnection::~ZmtpConnection() {
  close(fd_);
}

void ZmtpConnection::introduce(std::string identity) {
  identity_ = std::move(identity);
  session_.set_name(identity_);
  introduced_ = true;
}

void ZmtpConnection::challenge(TimePoint deadline) {
  if (read(); dropped_ || proof_deadline_ != TimePoint::never()) {
    return;
  }
  proof_deadline_ = deadline;
  out_.add_raw(session_.ping());
  flush();
}

void ZmtpConnection::on_io(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    flush();
  }
  // With EPOLLHUP or EPOLLERR the read tells the end, after the bytes that came before it.
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !dropped_) {
    read();
  }
}

void ZmtpConnection::read() {
  // Two rounds only: then the other peers get their turn.
  for (int round = 0; round < 2; ++round) {
    const std::span<char> room = session_.room();
    std::vector<char>& scratch = host_.scratch_;
    char* target = room.empty() ? scratch.data() : room.data();
    const std::size_t space = room.empty() ? scratch.size() : room.size();
    const ssize_t got = recv(fd_, target, space, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0 && (errno == EAGAIN)) {
      return;
    }
    if (got <= 0) {
      host_.drop(*this, {});
      return;
    }
    const auto count = static_cast<std::size_t>(got);
    if (!room.empty() ? !finish_large(count) : !digest({target, count})) {
      return;
    }
    if (count < space || dropped_) {
      return;
    }
  }
}

bool ZmtpConnection::finish_large(std::size_t count) {
  std::string answer;
  if (const auto filled = session_.filled(count, host_.arrived_, answer); !filled) {
    host_.drop(*this, filled.error().message);
    return false;
  }
  host_.take_arrived();
  return send_answer(answer);
}

bool ZmtpConnection::send_answer(const std::string& answer) {
  if (!answer.empty()) {
    out_.add_raw(answer);
    flush();
  }
  return !dropped_;
}

bool ZmtpConnection::digest(std::string_view bytes) {
  std::string answer;
  const std::uint64_t pongs = session_.pongs();
  auto fed = session_.feed(bytes, host_.arrived_, answer);
  if (fed && session_.ready() && !introduced_) {
    // The last word of the handshake has to leave before the first message.
    if (!send_answer(std::exchange(answer, {}))) {
      return false;
    }
    if (!host_.introduce(*this)) {
      park();
      return false;
    }
    fed = session_.feed({}, host_.arrived_, answer);
  }
  if (!fed) {
    host_.drop(*this, fed.error().message);
    return false;
  }
  host_.take_arrived();
  if (!send_answer(answer)) {
    return false;
  }
  if (proof_deadline_ != TimePoint::never() && session_.pongs() != pongs) {
    proof_deadline_ = TimePoint::never();
    host_.prove(*this);
  }
  return true;
}

void ZmtpConnection::park() {
  parked_ = true;
  watch();
}

void ZmtpConnection::start() {
  parked_ = false;
  if (digest({})) {
    watch();
  }
}

bool ZmtpConnection::queue(std::span<const std::string_view> first,
                           const Frames& rest,
                           std::size_t from) {
  for (std::size_t i = 1; i < first.size(); ++i) {
    add_frame(first[i], i + 1 < first.size() || from < rest.size());
  }
  for (std::size_t i = from; i < rest.size(); ++i) {
    const bool more = i + 1 < rest.size();
    if (rest.is_packed(i)) {
      add_frame(rest[i], more);
    } else if (session_.encrypts()) {
      out_.add_frame(session_.seal_large(rest[i], more), false);
    } else {
      out_.add_frame(rest.shared(i), more);
    }
  }
  return !std::exchange(dirty_, true);
}

void ZmtpConnection::add_frame(std::string_view frame, bool more) {
  if (session_.encrypts()) {
    out_.add_raw(session_.seal(frame, more));
  } else {
    out_.add_frame(frame, more);
  }
}

void ZmtpConnection::flush() {
  dirty_ = false;
  if (!out_.write_to(fd_)) {
    host_.drop(*this, {});
    return;
  }
  if (out_.size() > host_.unsent_bytes_max_) {
    host_.drop(*this, "it does not read: " + std::to_string(out_.size()) + " bytes wait for it");
    return;
  }
  watch();
}

void ZmtpConnection::pause_reading(bool pause) {
  paused_ = pause;
  watch();
}

void ZmtpConnection::watch() {
  std::uint32_t wanted = 0;
  // A peer that is not introduced yet may go on with its handshake.
  const bool paused = paused_ || (host_.reading_paused_ && introduced_);
  if (!parked_ && !paused && out_.size() <= host_.unsent_bytes_max_ / 2) {
    wanted |= EPOLLIN;
  }
  if (!out_.empty()) {
    wanted |= EPOLLOUT;
  }
  if (wanted != watched_) {
    watched_ = wanted;
    host_.loop_.change(fd_, wanted, *this);
  }
}

}  // namespace ipf
