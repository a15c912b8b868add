#include "net/log_spdlog.hpp"

#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "unit/core/core_testing.hpp"

namespace ipf {
namespace {

using test::TempDir;

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::vector<std::string> out;
  std::istringstream text(test::read_file(path));
  for (std::string line; std::getline(text, line);) {
    out.push_back(line);
  }
  return out;
}

std::unique_ptr<Log> log_to(const std::filesystem::path& file, LogLevel level = LogLevel::info) {
  auto log = make_log({.name = "IPController", .level = level, .file = file.string()});
  EXPECT_TRUE(log);
  return std::move(*log);
}

TEST(LogLevels, NamesAndPythonsNumbersAreKnown) {
  const std::vector<std::pair<std::string, LogLevel>> known{
      {"debug", LogLevel::debug},   {"DEBUG", LogLevel::debug},     {"10", LogLevel::debug},
      {"0", LogLevel::debug},       {"info", LogLevel::info},       {"20", LogLevel::info},
      {"warn", LogLevel::warning},  {"Warning", LogLevel::warning}, {"30", LogLevel::warning},
      {"error", LogLevel::error},   {"40", LogLevel::error},        {"50", LogLevel::error},
      {"critical", LogLevel::error}};
  for (const auto& [text, level] : known) {
    const auto parsed = parse_log_level(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, level) << text;
  }
  for (const std::string text : {"", "loud", "15", "-10", "info ", "in\nfo"}) {
    const auto parsed = parse_log_level(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().message.find('\n'), std::string::npos);
  }
}

TEST(LogFile, LinesHaveTimeNameAndFromWarningsOnTheLevel) {
  const TempDir dir;
  testing::internal::CaptureStderr();
  {
    const auto log = log_to(dir / "log", LogLevel::debug);
    log->debug("one");
    log->info("two {} %s");
    log->warning("three");
    log->error("four");
  }
  const std::string on_stderr = testing::internal::GetCapturedStderr();
  const std::regex time(R"(^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} )");
  std::vector<std::string> texts;
  for (const auto& line : lines_of(dir / "log")) {
    EXPECT_TRUE(std::regex_search(line, time)) << line;
    texts.push_back(std::regex_replace(line, time, ""));
  }
  EXPECT_EQ(texts, (std::vector<std::string>{"[IPController] one", "[IPController] two {} %s",
                                             "[IPController] WARNING | three",
                                             "[IPController] ERROR | four"}));
  EXPECT_EQ(on_stderr, test::read_file(dir / "log")) << "stderr has the same lines";
}

TEST(LogFile, WhatIsBelowTheLevelIsLeftOut) {
  const TempDir dir;
  testing::internal::CaptureStderr();
  const auto log = log_to(dir / "log", LogLevel::warning);
  EXPECT_FALSE(log->enabled(LogLevel::info));
  EXPECT_TRUE(log->enabled(LogLevel::warning));
  log->debug("no");
  log->info("no");
  log->warning("yes");
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(lines_of(dir / "log").size(), 1U);
}

TEST(LogFile, IsPrivateAndAppendedTo) {
  const TempDir dir;
  test::write_file(dir / "log", "before\n");
  std::filesystem::permissions(dir / "log", std::filesystem::perms{0600});
  testing::internal::CaptureStderr();
  log_to(dir / "log")->info("after");
  log_to(dir / "fresh")->info("text");
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(lines_of(dir / "log").size(), 2U);
  EXPECT_EQ(lines_of(dir / "log")[0], "before");
  EXPECT_EQ(test::mode_of(dir / "fresh"), 0600U);
}

TEST(LogFile, IsFollowedByAnotherAndTwoOldOnesStay) {
  const TempDir dir;
  testing::internal::CaptureStderr();
  {
    const auto log = make_log(
        {.name = "n", .file = (dir / "x.log").string(), .file_bytes_max = 1000, .json = false});
    for (int i = 0; i < 100; ++i) {
      (*log)->info("line " + std::to_string(i) + std::string(50, '.'));
    }
  }
  testing::internal::GetCapturedStderr();
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    names.insert(entry.path().filename().string());
    EXPECT_LE(entry.file_size(), 1000U);
    EXPECT_EQ(test::mode_of(entry.path()), 0600U) << entry.path();
  }
  EXPECT_EQ(names, (std::set<std::string>{"x.1.log", "x.2.log", "x.log"}));
  EXPECT_NE(lines_of(dir / "x.log").back().find("line 99."), std::string::npos);
}

TEST(LogFile, JsonLinesHoldAnyText) {
  const TempDir dir;
  testing::internal::CaptureStderr();
  (*make_log({.name = "n", .file = (dir / "log").string(), .json = true}))
      ->warning("a \"b\" \\ {} %v\n\x01 \xff \u00e4");
  testing::internal::GetCapturedStderr();
  const auto lines = lines_of(dir / "log");
  ASSERT_EQ(lines.size(), 1U);
  const auto line = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["name"], "n");
  EXPECT_EQ(line["pid"], getpid());
  EXPECT_EQ(line["text"], "a \"b\" \\ {} %v\n\x01 \ufffd \u00e4");
  EXPECT_TRUE(
      std::regex_match(line["time"].get<std::string>(),
                       std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d)")));
}

TEST(LogFile, ASymlinkOrAMissingDirectoryIsRefused) {
  const TempDir dir;
  test::write_file(dir / "victim", "");
  std::filesystem::create_symlink(dir / "victim", dir / "link");
  for (const auto& path : {dir / "link", dir / "missing" / "log"}) {
    const auto log = make_log({.name = "n", .file = path.string()});
    ASSERT_FALSE(log);
    EXPECT_EQ(log.error().code, ErrorCode::io);
    EXPECT_NE(log.error().message.find(path.string()), std::string::npos);
  }
}

TEST(LogFile, LinesOfManyThreadsStayWhole) {
  const TempDir dir;
  testing::internal::CaptureStderr();
  {
    const auto log = log_to(dir / "log");
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&log] {
        for (int i = 0; i < 50; ++i) {
          log->info("0123456789");
        }
      });
    }
  }
  testing::internal::GetCapturedStderr();
  const auto lines = lines_of(dir / "log");
  EXPECT_EQ(lines.size(), 200U);
  for (const auto& line : lines) {
    EXPECT_TRUE(line.ends_with("] 0123456789") && line.size() == lines[0].size()) << line;
  }
}

}  // namespace
}  // namespace ipf
