#include "net/address.hpp"

#include <string>

#include <gtest/gtest.h>

#include "core/text.hpp"

namespace ipf {
namespace {

std::string reached(std::string_view interface, std::string_view location) {
  const auto url = reachable_interface(interface, location);
  return url ? *url : "error";
}

TEST(Address, AConcreteAddressIsNeverChanged) {
  for (const std::string location : {"", "somewhere.invalid", "127.0.0.1", "10.1.2.3"}) {
    EXPECT_EQ(reached("tcp://127.0.0.1", location), "tcp://127.0.0.1");
    EXPECT_EQ(reached("tcp://10.9.8.7", location), "tcp://10.9.8.7");
    EXPECT_EQ(reached("tcp://host.example", location), "tcp://host.example");
  }
}

TEST(Address, AWildcardAddressOfThisMachineIsLoopback) {
  for (const std::string interface : {"tcp://*", "tcp://0.0.0.0"}) {
    EXPECT_EQ(reached(interface, ""), "tcp://127.0.0.1");
    EXPECT_EQ(reached(interface, host_name()), "tcp://127.0.0.1");
    EXPECT_EQ(reached(interface, "localhost"), "tcp://127.0.0.1");
    EXPECT_EQ(reached(interface, "127.0.0.1"), "tcp://127.0.0.1");
    EXPECT_EQ(reached(interface, "127.8.8.8"), "tcp://127.0.0.1");
  }
}

TEST(Address, AWildcardAddressElsewhereIsTheResolvedLocation) {
  EXPECT_EQ(reached("tcp://*", "192.0.2.7"),
            "tcp://192.0.2.7");  // reserved for documentation: nobody's own
  EXPECT_EQ(reached("tcp://0.0.0.0", "192.0.2.7"), "tcp://192.0.2.7");
}

TEST(Address, ALocationThatDoesNotResolveIsNamed) {
  const auto url = reachable_interface("tcp://*", "no such host\n");
  ASSERT_FALSE(url);
  EXPECT_EQ(url.error().code, ErrorCode::not_found);
  EXPECT_NE(url.error().message.find("'no such host?'"), std::string::npos);
}

TEST(Address, OnlyTcpCanBeReached) {
  for (const std::string interface :
       {"ipc://x", "inproc://x", "udp://127.0.0.1", "TCP://127.0.0.1"}) {
    const auto url = reachable_interface(interface, "");
    ASSERT_FALSE(url);
    EXPECT_EQ(url.error().code, ErrorCode::invalid_argument);
  }
  const auto bare = reachable_interface("127.0.0.1", "");
  ASSERT_FALSE(bare);
  EXPECT_EQ(bare.error().code, ErrorCode::malformed);
}

TEST(Address, AnEndpointIsInterfaceColonPort) {
  EXPECT_EQ(endpoint_url("tcp://127.0.0.1", 80), "tcp://127.0.0.1:80");
}

TEST(Address, LoopbackHasManyNames) {
  for (const std::string ip : {"127.0.0.1", "127.9.9.9", "::1", "localhost"}) {
    EXPECT_TRUE(is_loopback(ip)) << ip;
  }
  for (const std::string ip : {"0.0.0.0", "*", "128.0.0.1", "", "12", "10.127.0.1"}) {
    EXPECT_FALSE(is_loopback(ip)) << ip;
  }
}

}  // namespace
}  // namespace ipf
