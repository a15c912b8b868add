#include "engine/kernel_ports.hpp"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

#include "core/text.hpp"
#include "protocol/connection_file.hpp"
#include "protocol/kernel_file.hpp"

namespace ipf::engine {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t file_bytes_max = 1UL << 20U;
constexpr std::size_t key_bytes = 32;

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets it
  return value == nullptr ? "" : value;
}

Result<void> make_directory(const fs::path& directory) {
  std::error_code failure;
  if (fs::exists(directory, failure)) {
    return {};
  }
  fs::create_directories(directory, failure);
  if (failure) {
    return unexpected(ErrorCode::io,
                      "cannot make " + directory.string() + ": " + failure.message());
  }
  fs::permissions(directory, fs::perms::owner_all, failure);
  return {};
}

}  // namespace

fs::path jupyter_runtime_dir() {
  if (std::string named = from_environment("JUPYTER_RUNTIME_DIR"); !named.empty()) {
    return named;
  }
  const std::string data = from_environment("JUPYTER_DATA_DIR");
  if (!data.empty()) {
    return fs::path(data) / "runtime";
  }
  const std::string share = from_environment("XDG_DATA_HOME");
  const fs::path base =
      share.empty() ? fs::path(from_environment("HOME")) / ".local" / "share" : fs::path(share);
  return base / "jupyter" / "runtime";
}

Result<KernelPorts> open_kernel(const fs::path& file, const KernelOwner& owner) {
  std::error_code failure;
  if (file.empty() || !fs::exists(file, failure)) {
    return open_kernel(KernelConnection{}, file, owner);
  }
  const auto text = read_text_file(file, file_bytes_max);
  if (!text) {
    return unexpected(text.error());
  }
  auto wanted = parse_kernel_connection(*text, file.string());
  if (!wanted) {
    return unexpected(wanted.error());
  }
  KernelPorts ports{.file = file};
  auto link = KernelLink::open(*wanted, owner);
  if (!link) {
    return unexpected(link.error());
  }
  ports.link = std::move(*link);
  if (ports.link->connection() != *wanted) {
    IPF_TRY(write_private_file(file, kernel_connection_text(ports.link->connection())));
  }
  return ports;
}

Result<KernelPorts> open_kernel(KernelConnection wanted,
                                const fs::path& file,
                                const KernelOwner& owner) {
  KernelPorts ports{.file = file, .file_is_ours = true};
  if (file.empty()) {
    ports.file = jupyter_runtime_dir() / ("kernel-" + std::to_string(getpid()) + ".json");
  }
  if (wanted.key.empty()) {
    wanted.key = random_hex(key_bytes);
  }
  auto link = KernelLink::open(std::move(wanted), owner);
  if (!link) {
    return unexpected(link.error());
  }
  ports.link = std::move(*link);
  IPF_TRY(make_directory(ports.file.parent_path()));
  IPF_TRY(write_private_file(ports.file, kernel_connection_text(ports.link->connection())));
  ports.link->owns_file(ports.file);
  return ports;
}

void announce(const KernelPorts& ports) {
  if (ports.file_is_ours) {
    std::printf("Kernel connection file: %s\nAttach with: jupyter console --existing %s\n",
                ports.file.c_str(), ports.file.c_str());
    std::fflush(stdout);
  }
}

ParentWatch::ParentWatch() {
  const std::string text = from_environment("JPY_PARENT_PID");
  pid_t pid = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (read.ec == std::errc{} && pid > 1) {
    fd_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  }
}

ParentWatch::~ParentWatch() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

}  // namespace ipf::engine
