#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>
#include <string>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/result.hpp"
#include "launcher/file_descriptor.hpp"

namespace ipf {

/// The background process's way to tell the waiting command how the start goes on. Never blocks
/// for long and never fails: the other side may have gone.
class StartReport {
 public:
  explicit StartReport(FileDescriptor socket) : socket_(std::move(socket)) {}
  void progress(int registered, int wanted);
  void ready();
  void failed(int exit_code, const std::string& text);

 private:
  void send(const std::string& text);
  FileDescriptor socket_;
};

struct DaemonOptions {
  std::string program{"ipcluster"};  ///< for messages
  std::filesystem::path log_dir{};   ///< the daemon's stdout and stderr go to a file in it
  std::string log_stem{};            ///< "<stem>-<pid>.log"
  Duration limit{};                  ///< how long the command waits for ready or failed
};

/// Runs `body` in a process of its own session without a terminal; its exit code is what `body`
/// returns. The caller waits until the body reports ready (returns 0) or failed (its code), shows
/// progress on `out` and failures on `err`, and passes SIGINT and SIGTERM on as SIGTERM. Must be
/// called before any thread exists.
int daemonize(const DaemonOptions& options,
              std::ostream& out,
              std::ostream& err,
              const std::function<int(StartReport&)>& body);

}  // namespace ipf
