#include "core/file_io.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

namespace ipf {
namespace {

TEST(ReadFile, ReadsAllOfIt) {
  const auto path =
      std::filesystem::temp_directory_path() / ("ipf-file-io-" + std::to_string(getpid()));
  const std::string text = std::string(100'000, 'x') + '\0' + "end";
  std::ofstream(path, std::ios::binary) << text;
  EXPECT_EQ(read_file(path), text);
  std::filesystem::remove(path);
  EXPECT_EQ(read_file(path), "") << "it is not there any more";
}

TEST(ReadFile, WhatCannotBeReadIsNothingAndNoException) {
  EXPECT_EQ(read_file("/proc/self"), "");
}

}  // namespace
}  // namespace ipf
