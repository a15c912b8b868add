#include "protocol/zmtp_session.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "core/log.hpp"

namespace ipf {

namespace {

constexpr std::size_t greeting_size = 64;
constexpr std::uint8_t flag_more = 1;
constexpr std::uint8_t flag_long = 2;
constexpr std::uint8_t flag_command = 4;
constexpr std::size_t as_server_at = 32;
constexpr std::string_view null_mechanism = "NULL";
constexpr std::string_view curve_mechanism = "CURVE";
/// In front of the body of a large encrypted frame, so that its payload is aligned for numbers.
constexpr std::size_t sealed_offset = 64 - CurveSession::overhead;

std::uint8_t byte_at(std::string_view bytes, std::size_t index) {
  return static_cast<std::uint8_t>(bytes[index]);
}

std::uint64_t read_big_endian(std::string_view bytes) {
  std::uint64_t out = 0;
  for (const char byte : bytes) {
    out = (out << 8U) | static_cast<std::uint8_t>(byte);
  }
  return out;
}

void append_big_endian(std::string& out, std::uint64_t value, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) {
    out += static_cast<char>((value >> (8U * i)) & 0xffU);
  }
}

/// Both ASCII; property names are compared without case.
bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

void append_property(std::string& out, std::string_view name, std::string_view value) {
  append_big_endian(out, name.size(), 1);
  out += name;
  append_big_endian(out, value.size(), 4);
  out += value;
}

void append_plain_command(std::string& out, std::string_view body) {
  const bool is_long = body.size() > 255;
  out += static_cast<char>(is_long ? flag_command | flag_long : flag_command);
  append_big_endian(out, body.size(), is_long ? 8 : 1);
  out += body;
}

Unexpected violation(std::string text) {
  return unexpected(ErrorCode::malformed, std::move(text));
}

std::string_view name_of(ZmtpType type) {
  constexpr std::array<std::string_view, 5> names{"ROUTER", "DEALER", "PUB", "SUB", "XPUB"};
  return names.at(static_cast<std::size_t>(type));
}

/// Whether a socket named `peer` may be at the other end of one of type `own` (rfc 28 and 29).
bool fits(ZmtpType own, std::string_view peer) {
  switch (own) {
    case ZmtpType::router:
      return peer == "DEALER" || peer == "ROUTER" || peer == "REQ";
    case ZmtpType::dealer:
      return peer == "ROUTER" || peer == "DEALER" || peer == "REP";
    case ZmtpType::pub:
    case ZmtpType::xpub:
      return peer == "SUB" || peer == "XSUB";
    case ZmtpType::sub:
      return peer == "PUB" || peer == "XPUB";
  }
  return false;
}

}  // namespace

void append_zmtp_header(std::string& out, std::size_t size, bool more) {
  const bool is_long = size > 255;
  out += static_cast<char>((more ? flag_more : 0U) | (is_long ? flag_long : 0U));
  append_big_endian(out, size, is_long ? 8 : 1);
}

Frames zmtp_subscription(std::string_view peer) {
  FramesBuilder out;
  out.add(peer);
  out.add(std::string_view("\1", 1));
  return out.finish();
}

ZmtpSession::ZmtpSession(const Options& options) : options_(options) {
  if (options.curve) {
    curve_ = std::make_unique<CurveSession>(options.curve);
  }
}

std::string ZmtpSession::metadata() const {
  std::string out;
  append_property(out, "Socket-Type", name_of(options_.type));
  append_property(out, "Identity", options_.identity);
  return out;
}

std::string ZmtpSession::hello() const {
  std::string out("\xff\0\0\0\0\0\0\0\0\x7f\3\1", 12);
  out += curve_ ? curve_mechanism : null_mechanism;
  out.resize(greeting_size, '\0');
  if (curve_) {
    out[as_server_at] = options_.curve->server ? '\1' : '\0';
  } else {
    append_plain_command(out, "\5READY" + metadata());
  }
  return out;
}

std::string ZmtpSession::seal(std::string_view frame, bool more) {
  std::string out;
  append_zmtp_header(out, frame.size() + CurveSession::overhead, false);
  const std::size_t header = out.size();
  out.resize(header + CurveSession::overhead + frame.size());
  curve_->seal(frame, more ? CurveSession::flag_more : 0, std::span(out).subspan(header));
  return out;
}

SharedBytes ZmtpSession::seal_large(std::string_view frame, bool more) {
  const std::size_t size = frame.size() + CurveSession::overhead;
  const auto body =
      std::make_shared_for_overwrite<char[]>(size);  // NOLINT(modernize-avoid-c-arrays)
  curve_->seal(frame, more ? CurveSession::flag_more : 0, {body.get(), size});
  return {body, {body.get(), size}};
}

std::string ZmtpSession::ping() {
  std::string out;
  append_command(out, std::string_view("\4PING\0\0", 7));  // with no time to live
  return out;
}

void ZmtpSession::append_command(std::string& out, std::string_view body) {
  if (!curve_) {
    append_plain_command(out, body);
    return;
  }
  append_zmtp_header(out, body.size() + CurveSession::overhead, false);
  const std::size_t header = out.size();
  out.resize(header + CurveSession::overhead + body.size());
  curve_->seal(body, CurveSession::flag_command, std::span(out).subspan(header));
}

template <class Bytes>
void ZmtpSession::add_frame(Bytes frame,
                            std::size_t size,
                            bool more,
                            std::vector<Frames>& messages) {
  if (!std::exchange(in_message_, true)) {
    builder_.add(name_);
  }
  message_bytes_ += size;
  builder_.add(std::move(frame));
  end_frame(more, messages);
}

Result<void> ZmtpSession::feed(std::string_view bytes,
                               std::vector<Frames>& messages,
                               std::string& answer) {
  if (const std::span<char> space = room(); !space.empty()) {
    const std::size_t count = std::min(space.size(), bytes.size());
    std::memcpy(space.data(), bytes.data(), count);
    IPF_TRY(filled(count, messages, answer));
    bytes.remove_prefix(count);
  }
  if (pending_.empty()) {
    auto used = parse(bytes, messages, answer);
    if (!used) {
      return unexpected(used.error());
    }
    pending_.assign(bytes.substr(*used));
    return {};
  }
  pending_ += bytes;
  auto used = parse(pending_, messages, answer);
  if (!used) {
    return unexpected(used.error());
  }
  pending_.erase(0, *used);
  return {};
}

/// What the first bytes of a greeting say. A peer of an older version sends no more than these
/// until it is answered in its own.
Result<void> ZmtpSession::check_beginning(std::string_view bytes) {
  constexpr std::size_t version_at = 10;
  if (!bytes.empty() && byte_at(bytes, 0) != 0xff) {
    return violation("this is no ZMTP greeting");
  }
  if (bytes.size() > version_at &&
      ((byte_at(bytes, version_at - 1) & 1U) == 0 || byte_at(bytes, version_at) < 3)) {
    return violation("the peer speaks an older ZMTP than 3");
  }
  return {};
}

Result<std::size_t> ZmtpSession::parse(std::string_view bytes,
                                       std::vector<Frames>& messages,
                                       std::string& answer) {
  const std::size_t all = bytes.size();
  if (stage_ == Stage::greeting) {
    IPF_TRY(check_beginning(bytes));
    if (bytes.size() < greeting_size) {
      return std::size_t{0};
    }
    IPF_TRY(take_greeting(bytes.substr(0, greeting_size), answer));
    bytes.remove_prefix(greeting_size);
  }
  while (bytes.size() >= 2 && !(ready() && name_.empty())) {
    const std::uint8_t flags = byte_at(bytes, 0);
    const std::size_t header = (flags & flag_long) != 0 ? 9 : 2;
    if ((flags & ~(flag_more | flag_long | flag_command)) != 0) {
      return violation("frame with unknown flags");
    }
    if (bytes.size() < header) {
      break;
    }
    const std::uint64_t size = read_big_endian(bytes.substr(1, header - 1));
    if ((flags & flag_command) != 0) {
      if (size > options_.command_bytes_max) {
        return violation("command of " + std::to_string(size) + " bytes");
      }
      if (bytes.size() < header + size) {
        break;
      }
      IPF_TRY(take_command(bytes.substr(header, size), messages, answer));
      bytes.remove_prefix(header + size);
      continue;
    }
    if (stage_ != Stage::ready) {
      return violation("message before the handshake");
    }
    const bool complete = bytes.size() - header >= size;
    if (!complete && size <= large_frame) {
      break;
    }
    const std::uint64_t overhead = curve_ ? CurveSession::overhead : 0;
    IPF_TRY(check_frame(size - std::min(size, overhead)));
    const bool more = (flags & flag_more) != 0;
    bytes.remove_prefix(header);
    if (size <= large_frame) {
      if (curve_) {
        IPF_TRY(take_sealed(bytes.substr(0, size), messages, answer));
      } else {
        add_frame(bytes.substr(0, size), size, more, messages);
      }
      bytes.remove_prefix(size);
      continue;
    }
    large_offset_ = curve_ ? sealed_offset : 0;
    // NOLINTNEXTLINE(modernize-avoid-c-arrays)
    large_ = std::make_shared_for_overwrite<char[]>(large_offset_ + size);
    large_size_ = size;
    large_filled_ = 0;
    large_more_ = more;
    const std::size_t here = std::min<std::size_t>(size, bytes.size());
    std::memcpy(large_.get() + large_offset_, bytes.data(), here);
    IPF_TRY(filled(here, messages, answer));
    bytes.remove_prefix(here);
  }
  return all - bytes.size();
}

Result<void> ZmtpSession::take_greeting(std::string_view greeting, std::string& answer) {
  std::string_view mechanism = greeting.substr(12, 20);
  mechanism = mechanism.substr(0, mechanism.find('\0'));
  const std::string_view own = curve_ ? curve_mechanism : null_mechanism;
  if (mechanism != own) {
    return violation("the peer wants the mechanism " + printable(mechanism) + ", this socket has " +
                     std::string(own));
  }
  stage_ = Stage::handshake;
  if (curve_ && !options_.curve->server) {
    append_plain_command(answer, curve_->hello());
  }
  return {};
}

Result<void> ZmtpSession::take_command(std::string_view body,
                                       std::vector<Frames>& messages,
                                       std::string& answer) {
  const std::size_t name_size = body.empty() ? 0 : byte_at(body, 0);
  if (body.size() < 1 + name_size) {
    return violation("command without a name");
  }
  const std::string_view name = body.substr(1, name_size);
  const std::string_view rest = body.substr(1 + name_size);
  if (stage_ == Stage::handshake && curve_) {
    return take_curve(body, answer);
  }
  if (stage_ == Stage::handshake) {
    if (name != "READY") {
      return violation("command " + printable(name) + " instead of READY");
    }
    return take_ready(rest);
  }
  if (name == "PING" && rest.size() >= 2) {  // two bytes of time to live, then a context
    std::string pong("\4PONG");
    pong += rest.substr(2, 16);
    append_command(answer, pong);
  } else if (name == "PONG") {
    ++pongs_;
  } else if (options_.type == ZmtpType::xpub && (name == "SUBSCRIBE" || name == "CANCEL")) {
    FramesBuilder message;
    message.add(name_);
    message.add((name == "CANCEL" ? std::string(1, '\0') : "\1") + std::string(rest));
    messages.push_back(message.finish());
  }
  return {};
}

Result<void> ZmtpSession::take_ready(std::string_view properties) {
  std::string_view socket_type;
  while (!properties.empty()) {
    const std::size_t name_size = byte_at(properties, 0);
    if (properties.size() < 1 + name_size + 4) {
      return violation("READY with a cut property");
    }
    const std::string_view name = properties.substr(1, name_size);
    const std::uint64_t value_size = read_big_endian(properties.substr(1 + name_size, 4));
    properties.remove_prefix(1 + name_size + 4);
    if (properties.size() < value_size) {
      return violation("READY with a cut property");
    }
    const std::string_view value = properties.substr(0, value_size);
    properties.remove_prefix(value_size);
    if (same_name(name, "Socket-Type")) {
      socket_type = value;
    } else if (same_name(name, "Identity")) {
      if (value.size() > options_.identity_bytes_max || value.starts_with('\0')) {
        return violation("READY with an identity that is not allowed");
      }
      peer_identity_ = value;
    }
  }
  if (!fits(options_.type, socket_type)) {
    return violation("a " + printable(socket_type) + " socket cannot talk to a " +
                     std::string(name_of(options_.type)));
  }
  stage_ = Stage::ready;
  return {};
}

Result<void> ZmtpSession::take_curve(std::string_view body, std::string& answer) {
  auto step = curve_->take(body, metadata());
  if (!step) {
    return unexpected(step.error());
  }
  if (step->metadata) {
    IPF_TRY(take_ready(*step->metadata));
  }
  if (!step->answer.empty()) {
    append_plain_command(answer, step->answer);
  }
  return {};
}

Result<void> ZmtpSession::take_sealed(std::string_view body,
                                      std::vector<Frames>& messages,
                                      std::string& answer) {
  std::string opened(body);
  const auto flags = curve_->open(opened);
  if (!flags) {
    return unexpected(flags.error());
  }
  const std::string_view payload = std::string_view(opened).substr(CurveSession::overhead);
  if ((*flags & CurveSession::flag_command) != 0) {
    return take_command(payload, messages, answer);
  }
  add_frame(payload, payload.size(), (*flags & CurveSession::flag_more) != 0, messages);
  return {};
}

/// Before anything is kept of a frame: may the message have it?
Result<void> ZmtpSession::check_frame(std::uint64_t size) const {
  if (size > options_.message_bytes_max - message_bytes_ ||
      builder_.size() >= options_.message_frames_max) {
    return unexpected(ErrorCode::too_large,
                      "a message is larger than " + std::to_string(options_.message_bytes_max) +
                          " bytes or has more than " + std::to_string(options_.message_frames_max) +
                          " frames");
  }
  return {};
}

void ZmtpSession::end_frame(bool more, std::vector<Frames>& messages) {
  if (!more) {
    Frames message = builder_.finish();
    if (options_.type != ZmtpType::pub) {
      messages.push_back(std::move(message));
    }
    in_message_ = false;
    message_bytes_ = 0;
  }
}

std::span<char> ZmtpSession::room() const {
  return large_ == nullptr ? std::span<char>{}
                           : std::span<char>{large_.get() + large_offset_ + large_filled_,
                                             large_size_ - large_filled_};
}

Result<void> ZmtpSession::filled(std::size_t count,
                                 std::vector<Frames>& messages,
                                 std::string& answer) {
  large_filled_ += count;
  if (large_filled_ < large_size_) {
    return {};
  }
  const auto owner = std::move(large_);
  large_ = nullptr;
  std::span<char> body(owner.get() + large_offset_, large_size_);
  bool more = large_more_;
  if (curve_) {
    const auto flags = curve_->open(body);
    if (!flags) {
      return unexpected(flags.error());
    }
    body = body.subspan(CurveSession::overhead);
    if ((*flags & CurveSession::flag_command) != 0) {
      return take_command({body.data(), body.size()}, messages, answer);
    }
    more = (*flags & CurveSession::flag_more) != 0;
  }
  add_frame(SharedBytes{owner, {body.data(), body.size()}}, body.size(), more, messages);
  return {};
}

}  // namespace ipf
