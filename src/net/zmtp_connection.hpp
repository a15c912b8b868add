#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "net/io_loop.hpp"
#include "protocol/frames.hpp"
#include "protocol/zmtp_session.hpp"

namespace ipf {

class ZmtpConnection;

/// The socket that connections are part of: what they share, and what they ask it. One thread.
class ZmtpHost {
 public:
  ZmtpHost(const ZmtpHost&) = delete;
  ZmtpHost& operator=(const ZmtpHost&) = delete;
  virtual ~ZmtpHost() = default;

 protected:
  ZmtpHost(IoLoop& loop, std::size_t unsent_bytes_max);

  /// The handshake is through: gives the peer its name. False when it has to wait for start(), or
  /// was dropped.
  virtual bool introduce(ZmtpConnection& connection) = 0;
  /// Takes the connection out of the loop; its memory lives until the end of the next flush().
  /// `why` is empty when the peer has gone.
  virtual void drop(ZmtpConnection& connection, std::string_view why) = 0;
  /// The connection has answered challenge().
  virtual void prove(const ZmtpConnection& /*connection*/) {}

  std::optional<Frames> take_message();
  /// Writes what is queued for connections that are dirty.
  void flush_dirty();

  IoLoop& loop_;
  const std::size_t unsent_bytes_max_;
  std::deque<Frames> inbox_{};
  std::vector<ZmtpConnection*> dirty_{};
  std::vector<std::unique_ptr<ZmtpConnection>> discarded_{};  ///< until the next round
  bool reading_paused_{false};

 private:
  friend class ZmtpConnection;
  void take_arrived();

  std::vector<Frames> arrived_{};
  std::vector<char> scratch_;
};

/// Tunes a TCP socket: no delay, and a peer whose machine vanished is noticed after two minutes.
void tune_tcp(int fd);

/// Bytes on their way to one peer: small frames copied into blocks, large ones by reference.
class SendQueue {
 public:
  void add_frame(std::string_view bytes, bool more);
  void add_frame(SharedBytes bytes, bool more);
  void add_raw(std::string_view bytes) { tail() += bytes, size_ += bytes.size(); }
  /// Writes what the socket takes. False when the connection is broken.
  bool write_to(int fd);
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  struct Segment {
    std::string bytes{};
    SharedBytes large{};
    [[nodiscard]] std::string_view view() const {
      return large.owner == nullptr ? std::string_view(bytes) : large.bytes;
    }
  };
  /// The block at the end, to which small bytes are appended.
  std::string& tail();
  void consume(std::size_t count);

  std::deque<Segment> segments_;
  std::size_t written_{};  ///< of the first segment
  std::size_t size_{};
  std::string spare_;  ///< memory of the last block, used again
};

/// One peer of a ZmtpHost.
class ZmtpConnection final : public IoHandler {
 public:
  /// `options` must outlive the connection, which owns `fd`, a socket that does not block; it may
  /// still be connecting.
  ZmtpConnection(ZmtpHost& host,
                 const ZmtpSession::Options& options,
                 int fd,
                 std::string address,
                 TimePoint handshake_deadline);
  ~ZmtpConnection() override;

  void on_io(std::uint32_t events) override;
  /// True if it was clean before, so that the host has to remember it for flush().
  bool queue(std::span<const std::string_view> first, const Frames& rest, std::size_t from);
  void flush();
  [[nodiscard]] bool all_sent() const { return out_.empty(); }
  [[nodiscard]] std::size_t unsent_bytes() const { return out_.size(); }

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] const std::string& identity() const { return identity_; }
  [[nodiscard]] bool introduced() const { return introduced_; }
  [[nodiscard]] TimePoint handshake_deadline() const { return handshake_deadline_; }
  [[nodiscard]] const ZmtpSession& session() const { return session_; }
  void introduce(std::string identity);
  [[nodiscard]] bool parked() const { return parked_; }
  /// Somebody else claims its identity: takes what has arrived, perhaps the end, and asks the peer
  /// for a sign of life, which has to come until the deadline.
  void challenge(TimePoint deadline);
  [[nodiscard]] bool overdue(TimePoint now) const { return proof_deadline_ <= now; }
  /// Nothing is read while somebody else has the identity that this one wants.
  void park();
  void pause_reading(bool pause);
  /// Tells the loop what to wait for.
  void watch();
  /// Takes up its identity, and what has arrived meanwhile.
  void start();
  [[nodiscard]] bool dropped() const { return dropped_; }
  void mark_dropped() { dropped_ = true; }

 private:
  void read();
  /// False when the connection ended.
  bool digest(std::string_view bytes);
  bool finish_large(std::size_t count);
  bool send_answer(const std::string& answer);
  void add_frame(std::string_view frame, bool more);

  ZmtpHost& host_;
  const int fd_;
  const std::string address_;
  const TimePoint handshake_deadline_;
  ZmtpSession session_;
  std::string identity_;
  SendQueue out_;
  std::uint32_t watched_{EPOLLIN};
  TimePoint proof_deadline_{TimePoint::never()};
  bool introduced_{false};
  bool dirty_{false};
  bool dropped_{false};
  bool parked_{false};
  bool paused_{false};
};

}  // namespace ipf
