#include "engine/module_start.hpp"

#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace ipf::engine {
namespace {

/// A descriptor from which this can be read.
int file_with(const std::string& text) {
  const int fd = memfd_create("test", MFD_CLOEXEC);
  EXPECT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
  return fd;
}

TEST(ModuleStart, AnOrderIsReadAndItsDescriptorsStayInTheProcess) {
  const int link = dup(STDERR_FILENO);
  Json order = fork_request_json({.arguments = {"-c", "x"}, .generation = 2});
  order["descriptors"] = {link, -1, -1, -1, -1, -1, -1};
  const int fd = file_with(dump_json(order));
  const auto read = read_order(fd);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->request.arguments, (std::vector<std::string>{"-c", "x"}));
  EXPECT_EQ(read->request.generation, 2);
  EXPECT_EQ(read->descriptors[0], link);
  EXPECT_EQ(read->descriptors[1], -1);
  EXPECT_NE(fcntl(link, F_GETFD) & FD_CLOEXEC, 0) << "user code's children would hold it open";
  EXPECT_EQ(fcntl(fd, F_GETFD), -1) << "closed, it holds the key";
  close(link);
}

TEST(ModuleStart, WhatIsNoOrderIsAnError) {
  EXPECT_FALSE(read_order(file_with("")));
  EXPECT_FALSE(read_order(file_with("[]")));
  EXPECT_FALSE(read_order(file_with(R"({"descriptors": [1, 2]})"))) << "of another version";
}

TEST(ModuleStart, APythonThatCannotBeRunIsTheReason) {
  const Error error = become_python("/no/such/python", {}, {-1, -1, -1, -1, -1, -1, -1});
  EXPECT_NE(error.message.find("/no/such/python"), std::string::npos) << error.message;
}

TEST(ModuleStart, KeysAreSecret) {
  EXPECT_TRUE(is_secret("IPP_SESSION_KEY=x"));
  EXPECT_TRUE(is_secret("IPP_CONNECTION_INFO={}"));
  EXPECT_TRUE(is_secret("IPP_CURVE_SECRETKEY=x"));
  EXPECT_FALSE(is_secret("IPP_SESSION_KEYS=x"));
  EXPECT_FALSE(is_secret("HOME=/root"));
}

}  // namespace
}  // namespace ipf::engine
