#include "engine/output_capture.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

namespace ipf::engine {
namespace {

void say(int fd, const std::string& text) {
  ASSERT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

/// Descriptor 1 is a pipe of the test while a capture lives.
class OutputCaptureTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(pipe2(outer.data(), O_CLOEXEC | O_NONBLOCK), 0);
    saved = dup(1);
    dup2(outer[1], 1);
  }
  void TearDown() override {
    dup2(saved, 1);
    for (const int fd : {outer[0], outer[1], saved}) {
      close(fd);
    }
  }
  std::string outside() const {
    std::array<char, 65536> chunk{};
    const ssize_t got = read(outer[0], chunk.data(), chunk.size());
    return {chunk.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
  }

  std::array<int, 2> outer{};
  int saved{};
};

TEST_F(OutputCaptureTest, WhatChildrenPrintIsCaughtAndCopied) {
  auto capture = OutputCapture::create();
  ASSERT_TRUE(capture);
  (*capture)->redirect();
  EXPECT_FALSE((*capture)->waiting());
  say(1, "direct ");
  ASSERT_EQ(std::system("printf child"), 0);  // NOLINT
  EXPECT_TRUE((*capture)->waiting());
  std::string text;
  (*capture)->read(0, text);
  EXPECT_EQ(text, "direct child");
  EXPECT_EQ(outside(), "direct child");
}

TEST_F(OutputCaptureTest, TheEndGivesTheDescriptorBackWithWhatWasLeft) {
  {
    auto capture = OutputCapture::create();
    ASSERT_TRUE(capture);
    (*capture)->redirect();
    say(1, "left ");
  }
  say(1, "after");
  EXPECT_EQ(outside(), "left after");
}

TEST_F(OutputCaptureTest, AReaderThatStoppedOutsideBlocksNobody) {
  auto capture = OutputCapture::create();
  ASSERT_TRUE(capture);
  (*capture)->redirect();
  std::string text;
  const std::string block(4096, 'x');
  constexpr int blocks = 64;  // four times what the pipe outside holds
  for (int i = 0; i < blocks; ++i) {
    say(1, block);
    (*capture)->read(0, text);
  }
  EXPECT_EQ(text.size(), block.size() * blocks);
}

}  // namespace
}  // namespace ipf::engine
