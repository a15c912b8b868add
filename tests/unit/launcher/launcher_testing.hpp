#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/log.hpp"
#include "launcher/cluster_status.hpp"
#include "launcher/process.hpp"

namespace ipf::test {

/// A directory of its own for one test, removed afterwards.
class TemporaryDir {
 public:
  TemporaryDir() {
    std::string name = (std::filesystem::temp_directory_path() / "ipf-launcher-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  TemporaryDir(const TemporaryDir&) = delete;
  TemporaryDir& operator=(const TemporaryDir&) = delete;
  ~TemporaryDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] ProfilePaths profile(std::string cluster_id = "") const {
    return {.dir = path_ / "profile", .cluster_id = std::move(cluster_id)};
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_text(const std::filesystem::path& file, std::string_view text) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
}

/// Waits (bounded) for the end of a process and returns its status.
inline std::optional<ExitStatus> wait_for(Process& process) {
  const ProcessId id{process.pid(), process.start_ticks()};
  EXPECT_TRUE(wait_until_gone({id}, std::chrono::seconds{20}).empty());
  return process.poll();
}

/// A process that runs until it gets a signal.
inline Result<Process> spawn_sleeper(const std::filesystem::path& dir,
                                     std::vector<EnvironmentChange> environment = {}) {
  return Process::spawn({.argv = {"sleep", "600"},
                         .environment = std::move(environment),
                         .output_file = dir / "sleeper.log",
                         .work_dir = {}});
}

/// Collects log lines.
class RecordingLog final : public Log {
 public:
  void write(LogLevel, std::string_view text) override { lines.emplace_back(text); }
  [[nodiscard]] bool enabled(LogLevel) const override { return true; }
  std::vector<std::string> lines{};
};

}  // namespace ipf::test
