#include "journal/spill_store.hpp"

#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::make_frames;
using test::texts_of;
using Texts = std::vector<std::string>;

const std::string& big() {
  static const std::string bytes(200'000, 'b');
  return bytes;
}

TEST(SpillStore, LargeFramesGoToDiskAndReadTheSame) {
  SpillStore store({.directory = std::filesystem::temp_directory_path()});
  const Texts texts{"id", "", big(), std::string(10'000, 'm'), big() + "2"};
  auto spilled = store.spill(make_frames(texts));
  ASSERT_TRUE(spilled);
  EXPECT_EQ(texts_of(*spilled), texts);
  EXPECT_EQ(store.files(), 2U);
  EXPECT_EQ(store.bytes(), 2 * big().size() + 1);
  Frames copy = *spilled;
  *spilled = {};
  EXPECT_EQ(texts_of(copy), texts) << "a copy keeps the file";
  copy = {};
  EXPECT_EQ(store.files(), 0U);
  EXPECT_EQ(store.bytes(), 0U);
}

TEST(SpillStore, LeavesNoFileBehind) {
  const auto dir = std::filesystem::temp_directory_path() / ("spill" + std::to_string(getpid()));
  std::filesystem::create_directories(dir);
  SpillStore store({.directory = dir});
  const auto spilled = store.spill(make_frames({big()}));
  ASSERT_TRUE(spilled);
  EXPECT_TRUE(std::filesystem::is_empty(dir)) << "the file has no name from the beginning";
  std::filesystem::remove_all(dir);
}

TEST(SpillStore, ALimitIsAnErrorAndNothingStays) {
  SpillStore store({.directory = std::filesystem::temp_directory_path(), .bytes_max = 300'000});
  const auto spilled = store.spill(make_frames({big(), big()}));
  ASSERT_FALSE(spilled);
  EXPECT_EQ(spilled.error().code, ErrorCode::unavailable);
  EXPECT_EQ(store.files(), 0U);
}

TEST(SpillStore, ADirectoryThatIsNotThereIsNamed) {
  SpillStore store({.directory = "/nonexistent/here"});
  const auto spilled = store.spill(make_frames({big()}));
  ASSERT_FALSE(spilled);
  EXPECT_NE(spilled.error().message.find("/nonexistent/here"), std::string::npos);
}

}  // namespace
}  // namespace ipf
