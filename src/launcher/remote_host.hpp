#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/result.hpp"
#include "launcher/file_descriptor.hpp"
#include "launcher/process.hpp"

namespace ipf {

/// One line of the agent on a remote host, split at blanks up to `text`.
struct RemoteEvent {
  enum class Kind {
    directory,  ///< text: the profile directory there
    pid,        ///< index, number: a program runs
    log,        ///< index, text: a line of the end of its log
    ended,      ///< index, number: exit status as in sh, -1 when not known
    file,       ///< name, text: a line of a file that was asked for
    fetched,    ///< name: that was all of it
    failed,     ///< text: something could not be done
    lost,       ///< text: ssh has ended; nothing more comes on this connection
  };
  Kind kind{};
  int index{};
  int number{};
  std::string name{};
  std::string text{};
};

/// One connection to another host: an ssh whose other end is a small sh script that starts, watches
/// and signals programs there. What must stay secret goes by its stdin, never by an argument.
///
/// Programs outlive the connection; a new one watches them by their pids. When the last program of
/// a directory that the agent made has ended, the directory is removed, with or without connection.
/// Nothing here waits: poll() takes what has arrived. Not thread-safe.
class RemoteHost {
 public:
  /// `ssh`: the command up to and with the host; `label` is for messages.
  RemoteHost(std::vector<std::string> ssh, std::string label);
  RemoteHost(const RemoteHost&) = delete;
  RemoteHost& operator=(const RemoteHost&) = delete;
  ~RemoteHost();

  /// Starts ssh. `directory`: the profile directory there; empty makes one that is removed.
  Result<void> open(const std::string& directory);
  [[nodiscard]] bool is_open() const { return process_.has_value(); }
  /// Says that no more orders come; the agent stays while its programs run.
  void close_orders();

  void send_file(const std::string& path, const std::string& content);
  /// `argv` runs with these variables; its output goes to `log` in the directory's log folder.
  void start(int index,
             const std::vector<EnvironmentChange>& environment,
             const std::vector<std::string>& argv,
             const std::string& log);
  void watch(int index, int pid);
  void signal(int pid, int number);
  /// SIGKILL to everything in the program's session.
  void kill(int pid);
  /// Has the file of the security folder sent as soon as it is there.
  void fetch(const std::string& name);

  void poll(std::vector<RemoteEvent>& events);

  [[nodiscard]] const std::string& label() const { return label_; }

 private:
  void order(const std::string& line);
  void flush();
  void read_lines(std::vector<RemoteEvent>& events);
  static std::optional<RemoteEvent> parse(std::string_view line);

  std::vector<std::string> ssh_;
  std::string label_;
  std::optional<Process> process_{};
  FileDescriptor orders_{};
  FileDescriptor answers_{};
  FileDescriptor complaints_{};
  std::string unsent_{};
  std::string unread_{};
  bool orders_end_{};
};

}  // namespace ipf
