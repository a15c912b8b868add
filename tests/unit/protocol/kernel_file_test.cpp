#include "protocol/kernel_file.hpp"

#include <gtest/gtest.h>

namespace ipf {
namespace {

constexpr const char* text = R"({
  "shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5,
  "ip": "127.0.0.1", "key": "secret", "transport": "tcp", "signature_scheme": "hmac-sha256",
  "kernel_name": "ipyfleet", "extra": [1]
})";

TEST(KernelFileTest, ReadsWhatItWrites) {
  const auto parsed = parse_kernel_connection(text, "here");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->hb_port, 5);
  EXPECT_EQ(parsed->key, "secret");
  EXPECT_EQ(parsed->kernel_name, "ipyfleet");
  const auto again = parse_kernel_connection(kernel_connection_text(*parsed), "there");
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, *parsed);
}

TEST(KernelFileTest, TellsKernelsFromControllers) {
  EXPECT_TRUE(is_kernel_connection(text));
  EXPECT_FALSE(is_kernel_connection(R"({"registration": 1, "mux": 2, "control": 3})"));
  EXPECT_FALSE(is_kernel_connection("[1]"));
  EXPECT_FALSE(is_kernel_connection("no json"));
}

TEST(KernelFileTest, MissingPortsAreOpen) {
  const auto parsed = parse_kernel_connection(R"({"key": "k"})", "here");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->shell_port, 0);
  EXPECT_EQ(parsed->ip, "127.0.0.1");
}

TEST(KernelFileTest, NamesWhatIsWrong) {
  const auto problem = [](const char* wrong) {
    const auto parsed = parse_kernel_connection(wrong, "file.json");
    return parsed ? std::string() : parsed.error().message;
  };
  EXPECT_EQ(problem(R"({"shell_port": "x"})"),
            "kernel connection file file.json: 'shell_port' must be a port number");
  EXPECT_EQ(problem(R"({"hb_port": 70000})"),
            "kernel connection file file.json: 'hb_port' must be a port number");
  EXPECT_EQ(problem(R"({"key": 5})"), "kernel connection file file.json: 'key' must be a string");
  EXPECT_EQ(problem(R"({"transport": "udp"})"),
            "kernel connection file file.json: 'transport' must be \"tcp\" or \"ipc\"");
  EXPECT_NE(problem("{"), "");
}

TEST(KernelFileTest, UrlsOfBothTransports) {
  KernelConnection connection{.ip = "10.0.0.1"};
  EXPECT_EQ(kernel_url(connection, 7), "tcp://10.0.0.1:7");
  connection.transport = "ipc";
  connection.ip = "/run/kernel";
  EXPECT_EQ(kernel_url(connection, 7), "ipc:///run/kernel-7");
}

}  // namespace
}  // namespace ipf
