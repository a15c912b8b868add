#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "core/result.hpp"

namespace ipf {

/// How a program ended: by exit(code), or killed by a signal when `signal` is not 0.
struct ExitStatus {
  int code{};
  int signal{};
  bool known{true};  ///< false: it was started by another process, or its system does not tell
  bool operator==(const ExitStatus&) const = default;
  [[nodiscard]] bool success() const { return known && code == 0 && signal == 0; }
};

/// "exit status 3" or "killed by signal 9 (SIGKILL)".
std::string to_text(ExitStatus status);

/// "SIGKILL" for 9; "SIG35" for a signal without a name.
std::string signal_name(int signal);

/// One change of the child's environment: a new value, or nothing to remove the variable.
using EnvironmentChange = std::pair<std::string, std::optional<std::string>>;

struct ProcessOptions {
  std::vector<std::string> argv{};  ///< argv[0] without a slash is looked up in PATH
  std::vector<EnvironmentChange> environment{};
  std::filesystem::path output_file{};  ///< stdout and stderr are appended; created 0600
  std::filesystem::path work_dir{};     ///< empty: the current one
  int input{-1};                        ///< descriptor for stdin instead of /dev/null
  int output{-1};                       ///< descriptor for stdout instead of output_file
  int error{-1};                        ///< descriptor for stderr instead of output_file
};

/// A child of this process in its own session and process group, never started through a shell.
///
/// stdin is /dev/null unless given, every other descriptor is closed, the signal mask is empty and
/// all handlers are the default ones. The destructor does not stop the child: whoever owns it calls
/// signal(). Not thread-safe.
class Process {
 public:
  Process(Process&&) noexcept = default;
  Process& operator=(Process&&) noexcept = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() = default;

  /// Returns when the program really runs. A missing program, directory or log file is an Error
  /// that names it; then no child is left.
  static Result<Process> spawn(const ProcessOptions& options);

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::uint64_t start_ticks() const { return start_ticks_; }

  /// The exit status as soon as the child has ended, without waiting; the same answer ever after.
  std::optional<ExitStatus> poll();

  /// Sends to the child alone; nothing happens when it has ended.
  void signal(int number);

  /// Sends to every process of the child's group, also after the child itself has ended.
  void signal_group(int number) const;

  /// True while the child or something it started in its group runs (zombies do not).
  bool group_running();

 private:
  explicit Process(pid_t pid);

  pid_t pid_{};
  std::uint64_t start_ticks_{};
  std::optional<ExitStatus> exit_{};
};

/// The processes of a group that run. Zombies do not: in a container without an init nobody reaps
/// them (protocol.md, trap 48).
std::vector<pid_t> group_members(pid_t group);

/// Where `program` is: itself when it has a slash, else the first executable of that name in PATH.
Result<std::string> find_program(const std::string& program);

/// The program next to the running executable, else the name alone (for a search in PATH).
std::string sibling_program(const std::string& name);

}  // namespace ipf
