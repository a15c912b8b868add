#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/result.hpp"
#include "launcher/file_descriptor.hpp"
#include "launcher/process.hpp"

namespace ipf {

struct CommandOptions {
  std::vector<std::string> argv{};
  std::vector<EnvironmentChange> environment{};
  std::filesystem::path work_dir{};
  std::string input{};  ///< what it reads from stdin
  Duration timeout{std::chrono::seconds{60}};
};

struct CommandOutcome {
  ExitStatus status{};
  std::string out{};  ///< at most 4 MiB
  std::string err{};
  bool timed_out{};  ///< it was killed for that

  [[nodiscard]] bool success() const { return status.success() && !timed_out; }
  /// "exit status 1: sbatch: error: invalid partition", in one line.
  [[nodiscard]] std::string failure() const;
};

/// A short program (sbatch, qstat, ...) that runs beside this one; nobody waits for it. Ended by
/// its timeout, and by the destructor. Not thread-safe.
class Command {
 public:
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  ~Command();

  static Result<std::unique_ptr<Command>> start(const CommandOptions& options);

  /// Its outcome as soon as it has ended; the same answer ever after.
  const std::optional<CommandOutcome>& poll();

 private:
  Command(Process process, FileDescriptor out, FileDescriptor err, Duration timeout);

  Process process_;
  FileDescriptor out_;
  FileDescriptor err_;
  TimePoint deadline_;
  std::optional<CommandOutcome> outcome_{};
};

}  // namespace ipf
