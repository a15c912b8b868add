#include "launcher/command.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "core/file_io.hpp"
#include "core/log.hpp"
#include "core/text.hpp"

namespace ipf {

namespace {

constexpr std::size_t output_bytes_max = 4UL * 1024 * 1024;
constexpr std::size_t shown_bytes_max = 400;

FileDescriptor memory_file() {
  return FileDescriptor{memfd_create("ipyfleet-command", MFD_CLOEXEC)};
}

std::size_t size_of(const FileDescriptor& file) {
  struct stat info{};
  return fstat(file.get(), &info) == 0 && info.st_size > 0 ? static_cast<std::size_t>(info.st_size)
                                                           : 0;
}

std::string contents(const FileDescriptor& file) {
  std::string out(std::min(size_of(file), output_bytes_max), '\0');
  const ssize_t got = pread(file.get(), out.data(), out.size(), 0);
  out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return out;
}

}  // namespace

std::string CommandOutcome::failure() const {
  std::string said = err.empty() ? out : err;
  std::ranges::replace(said, '\n', ' ');
  while (said.ends_with(' ')) {
    said.pop_back();
  }
  const std::string how = timed_out ? "no answer in time" : to_text(status);
  return said.empty() ? how : how + ": " + printable(said, shown_bytes_max);
}

Command::Command(Process process, FileDescriptor out, FileDescriptor err, Duration timeout)
    : process_(std::move(process)),
      out_(std::move(out)),
      err_(std::move(err)),
      deadline_(steady_now() + timeout) {}

Command::~Command() {
  if (!outcome_) {
    process_.signal_group(SIGKILL);
  }
  process_.poll();
}

Result<std::unique_ptr<Command>> Command::start(const CommandOptions& options) {
  const FileDescriptor in = memory_file();
  FileDescriptor out = memory_file();
  FileDescriptor err = memory_file();
  if (!in || !out || !err || write_all(in.get(), options.input) != 0 ||
      lseek(in.get(), 0, SEEK_SET) != 0) {
    return unexpected(ErrorCode::io, "cannot make a buffer for a command: " + errno_text(errno));
  }
  Result<Process> process = Process::spawn({.argv = options.argv,
                                            .environment = options.environment,
                                            .work_dir = options.work_dir,
                                            .input = in.get(),
                                            .output = out.get(),
                                            .error = err.get()});
  if (!process) {
    return unexpected(process.error());
  }
  return std::unique_ptr<Command>{
      new Command(std::move(*process), std::move(out), std::move(err), options.timeout)};
}

const std::optional<CommandOutcome>& Command::poll() {
  if (outcome_) {
    return outcome_;
  }
  std::optional<ExitStatus> status = process_.poll();
  const bool late = steady_now() >= deadline_;
  const bool endless = size_of(out_) + size_of(err_) > 2 * output_bytes_max;
  if (!status && (late || endless)) {
    process_.signal_group(SIGKILL);
    status = ExitStatus{.code = 0, .signal = SIGKILL};
  }
  if (status) {
    outcome_ = CommandOutcome{.status = *status,
                              .out = contents(out_),
                              .err = contents(err_),
                              .timed_out = late && status->signal == SIGKILL};
  }
  return outcome_;
}

}  // namespace ipf
