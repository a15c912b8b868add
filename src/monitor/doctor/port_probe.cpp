#include "monitor/doctor/port_probe.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <netinet/in.h>
#include <poll.h>
#include <string_view>
#include <sys/socket.h>
#include <utility>

#include "core/text.hpp"
#include "launcher/file_descriptor.hpp"

namespace ipf::doctor {

namespace {

// rfc.zeromq.org/spec/23: signature of 10 bytes, version, mechanism of 20 bytes, as-server, filler.
constexpr std::size_t signature_bytes = 10;
constexpr std::size_t mechanism_at = 12;
constexpr std::size_t mechanism_bytes = 20;
constexpr std::size_t greeting_bytes = 64;

std::string greeting(bool curve) {
  std::string out(greeting_bytes, '\0');
  out[0] = '\xff';
  out[signature_bytes - 1] = '\x7f';
  out[signature_bytes] = 3;
  const std::string_view mechanism = curve ? "CURVE" : "NULL";
  std::ranges::copy(mechanism, out.begin() + mechanism_at);
  return out;
}

bool is_zeromq(std::string_view bytes) {
  return bytes.size() >= signature_bytes && bytes[0] == '\xff' &&
         (static_cast<unsigned char>(bytes[signature_bytes - 1]) & 1U) != 0;
}

/// One connection that is tried.
struct Attempt {
  PortFacts facts{};
  FileDescriptor fd{};
  bool connected{};
  bool ended{};
  std::string received{};

  void end(PortState state, std::string detail, Duration took) {
    facts.state = state;
    facts.detail = std::move(detail);
    facts.took = took;
    ended = true;
    fd.close();
  }
};

void judge(Attempt& attempt, Duration took) {
  if (!is_zeromq(attempt.received)) {
    attempt.end(PortState::foreign, "it does not speak ZeroMQ", took);
    return;
  }
  if (attempt.received.size() >= mechanism_at + mechanism_bytes) {
    attempt.facts.mechanism = attempt.received.substr(mechanism_at, mechanism_bytes);
    attempt.facts.mechanism.erase(std::min(attempt.facts.mechanism.find('\0'), mechanism_bytes));
  }
  attempt.end(PortState::answers, {}, took);
}

void end_with_errno(Attempt& attempt, int failure, Duration took) {
  attempt.end(failure == ECONNREFUSED ? PortState::refused : PortState::no_way, errno_text(failure),
              took);
}

void start(Attempt& attempt, const sockaddr_in& address) {
  attempt.fd = FileDescriptor{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!attempt.fd) {
    attempt.end(PortState::no_way, errno_text(errno), Duration{0});
    return;
  }
  sockaddr generic{};
  static_assert(sizeof generic == sizeof address);
  std::memcpy(&generic, &address, sizeof address);
  if (connect(attempt.fd.get(), &generic, sizeof generic) != 0 && errno != EINPROGRESS) {
    end_with_errno(attempt, errno, Duration{0});
  }
}

void advance(Attempt& attempt, bool curve, Duration took) {
  if (!attempt.connected) {
    int failure = 0;
    socklen_t size = sizeof failure;
    getsockopt(attempt.fd.get(), SOL_SOCKET, SO_ERROR, &failure, &size);
    if (failure != 0) {
      end_with_errno(attempt, failure, took);
      return;
    }
    attempt.connected = true;
    const std::string hello = greeting(curve);
    send(attempt.fd.get(), hello.data(), hello.size(), MSG_NOSIGNAL);
    return;
  }
  std::array<char, greeting_bytes> buffer{};
  const ssize_t got = recv(attempt.fd.get(), buffer.data(), buffer.size(), 0);
  if (got > 0) {
    attempt.received.append(buffer.data(), static_cast<std::size_t>(got));
    if (attempt.received.size() >= greeting_bytes ||
        (attempt.received.size() >= signature_bytes && !is_zeromq(attempt.received))) {
      judge(attempt, took);
    }
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    judge(attempt, took);  // closed; what came before tells
  }
}

void poll_once(std::vector<Attempt>& attempts, bool curve, TimePoint begin, TimePoint deadline) {
  std::vector<pollfd> watched;
  std::vector<Attempt*> open;
  for (Attempt& attempt : attempts) {
    if (!attempt.ended) {
      const short events = attempt.connected ? POLLIN : POLLOUT;
      watched.push_back({.fd = attempt.fd.get(), .events = events, .revents = 0});
      open.push_back(&attempt);
    }
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_now());
  poll(watched.data(), watched.size(), static_cast<int>(std::max<long long>(left.count(), 0)));
  const Duration took = steady_now() - begin;
  for (std::size_t i = 0; i < open.size(); ++i) {
    if (watched[i].revents != 0) {
      advance(*open[i], curve, took);
    }
  }
}

}  // namespace

std::vector<PortFacts> probe_ports(const std::string& interface,
                                   const std::vector<Port>& ports,
                                   bool curve,
                                   Duration limit) {
  constexpr std::string_view scheme = "tcp://";
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const bool usable =
      interface.starts_with(scheme) &&
      inet_pton(AF_INET, interface.substr(scheme.size()).c_str(), &address.sin_addr) == 1;
  const TimePoint begin = steady_now();
  std::vector<Attempt> attempts(ports.size());
  for (std::size_t i = 0; i < ports.size(); ++i) {
    attempts[i].facts = {.name = ports[i].name,
                         .url = interface + ":" + std::to_string(ports[i].number)};
    if (!usable) {
      attempts[i].end(PortState::no_way, "this is no IPv4 address", Duration{0});
      continue;
    }
    address.sin_port = htons(static_cast<std::uint16_t>(ports[i].number));
    start(attempts[i], address);
  }
  const TimePoint deadline = begin + limit;
  while (steady_now() < deadline && !std::ranges::all_of(attempts, &Attempt::ended)) {
    poll_once(attempts, curve, begin, deadline);
  }
  std::vector<PortFacts> out;
  for (Attempt& attempt : attempts) {
    if (!attempt.ended) {
      if (is_zeromq(attempt.received)) {
        judge(attempt, limit);
      } else if (attempt.connected) {
        attempt.end(PortState::silent, {}, limit);
      } else {
        attempt.end(PortState::no_way, "no answer", limit);
      }
    }
    out.push_back(std::move(attempt.facts));
  }
  return out;
}

}  // namespace ipf::doctor
