#include "monitor/doctor/port_probe.hpp"

#include <arpa/inet.h>
#include <chrono>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "launcher/file_descriptor.hpp"

namespace ipf::doctor {
namespace {

/// A socket on a free port of loopback that sends `greeting` to the first who connects.
class Listener {
 public:
  explicit Listener(const std::string& greeting, bool listens = true)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(fd_.get(), generic, size), 0);
    EXPECT_EQ(getsockname(fd_.get(), generic, &size), 0);
    port_ = ntohs(address.sin_port);
    if (listens) {
      EXPECT_EQ(listen(fd_.get(), 1), 0);
    }
    if (!greeting.empty()) {
      thread_ = std::jthread([this, greeting] {
        peer_ = FileDescriptor(accept(fd_.get(), nullptr, nullptr));
        EXPECT_EQ(write(peer_.get(), greeting.data(), greeting.size()),
                  static_cast<ssize_t>(greeting.size()));
        shutdown(peer_.get(), SHUT_WR);
      });
    }
  }
  [[nodiscard]] int port() const { return port_; }

 private:
  FileDescriptor fd_;
  FileDescriptor peer_;
  int port_{};
  std::jthread thread_;
};

PortFacts probe(const Listener& listener, std::chrono::milliseconds limit) {
  return probe_ports("tcp://127.0.0.1", {{.name = "x", .number = listener.port()}}, false, limit)
      .front();
}

std::string greeting(const std::string& mechanism) {
  std::string out(64, '\0');
  out[0] = '\xff';
  out[9] = '\x7f';
  out[10] = 3;
  return out.replace(12, mechanism.size(), mechanism);
}

constexpr std::chrono::milliseconds patient{10'000};
constexpr std::chrono::milliseconds brief{50};

TEST(PortProbe, ReadsTheMechanismOfAGreeting) {
  const PortFacts found = probe(Listener(greeting("CURVE")), patient);
  EXPECT_EQ(found.state, PortState::answers);
  EXPECT_EQ(found.mechanism, "CURVE");
}

TEST(PortProbe, ASignatureAloneIsAnAnswer) {
  const PortFacts found = probe(Listener(greeting("").substr(0, 10)), patient);
  EXPECT_EQ(found.state, PortState::answers);
  EXPECT_EQ(found.mechanism, "");
}

TEST(PortProbe, AnotherProgramIsForeign) {
  EXPECT_EQ(probe(Listener("220 mail.example ESMTP\r\n"), patient).state, PortState::foreign);
}

TEST(PortProbe, NobodyAndNobodyWhoSpeaks) {
  EXPECT_EQ(probe(Listener("", false), patient).state, PortState::refused);
  EXPECT_EQ(probe(Listener(""), brief).state, PortState::silent);
}

TEST(PortProbe, AnAddressThatIsNone) {
  const auto found = probe_ports("tcp://nowhere", {{.name = "x", .number = 1}}, false, patient);
  EXPECT_EQ(found.front().state, PortState::no_way);
  EXPECT_FALSE(found.front().detail.empty());
}

}  // namespace
}  // namespace ipf::doctor
