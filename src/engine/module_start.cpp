#include "engine/module_start.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <fcntl.h>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "core/text.hpp"
#include "protocol/json_text.hpp"

namespace ipf::engine {

namespace {

constexpr std::size_t order_bytes_max = std::size_t{32} << 20U;
/// Not `-m`: that would look for the package in the working directory first.
constexpr const char* bootstrap =
    "import sys; sys.path.pop(0)\n"
    "try:\n"
    "    from ipyfleet._engine import run\n"
    "except ImportError as exc:\n"
    "    sys.exit(f'ipengine: {sys.executable} cannot load the engine ({exc}): '\n"
    "             f'install ipyfleet there: {sys.executable} -m pip install ipyfleet')\n"
    "fd = int(sys.argv[1])\n"
    "sys.argv[:] = ['']\n"
    "run(fd)\n";

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) {
      return false;
    }
    text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
  }
  return true;
}

/// A copy that the next program gets, too, clear of descriptors 0 to 2.
int inheritable(int fd) {
  constexpr int first_free = 3;
  return fd < 0 ? -1 : fcntl(fd, F_DUPFD, first_free);
}

}  // namespace

bool is_secret(const std::string& environment_entry) {
  constexpr std::array<std::string_view, 4> beginnings{
      "IPP_CONNECTION_INFO=", "IPP_SESSION_KEY=", "IPP_CURVE_", "IPF_SSH_TUNNEL="};
  return std::ranges::any_of(beginnings, [&](std::string_view beginning) {
    return environment_entry.starts_with(beginning);
  });
}

Error become_python(const std::filesystem::path& python,
                    const ForkRequest& request,
                    const ForkDescriptors& descriptors) {
  ForkDescriptors inherited{};
  std::ranges::transform(descriptors, inherited.begin(), inheritable);
  Json order = fork_request_json(request);
  order["descriptors"] = inherited;
  const int fd = memfd_create("ipengine-order", 0);
  if (fd < 0 || !write_all(fd, dump_json(order)) || lseek(fd, 0, SEEK_SET) != 0) {
    return {ErrorCode::io, "cannot hand the engine over to Python: " + errno_text(errno)};
  }
  // Background jobs of scripts have SIGINT ignored, and Python would leave it so.
  std::signal(SIGINT, SIG_DFL);
  std::string program = python.string();
  std::string dash_c = "-c";
  std::string code = bootstrap;
  std::string number = std::to_string(fd);
  const std::array<char*, 5> argv{program.data(), dash_c.data(), code.data(), number.data(),
                                  nullptr};
  execv(program.c_str(), argv.data());
  return {ErrorCode::io, "cannot run " + program + ": " + errno_text(errno)};
}

Result<ForkedEngine> read_order(int fd) {
  std::string text;
  std::array<char, 65536> chunk{};
  ssize_t got = 0;
  while ((got = read(fd, chunk.data(), chunk.size())) > 0 && text.size() < order_bytes_max) {
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  close(fd);
  const auto order = parse_json_object(text, "what ipengine hands over");
  if (!order) {
    return unexpected(order.error());
  }
  ForkedEngine out{.request = fork_request_of(*order), .descriptors = {}};
  const auto descriptors = order->value("descriptors", std::vector<int>{});
  if (descriptors.size() != out.descriptors.size()) {
    return unexpected(ErrorCode::malformed, "ipengine and this module are of different versions");
  }
  std::ranges::copy(descriptors, out.descriptors.begin());
  for (const int descriptor : out.descriptors) {
    if (descriptor >= 0) {
      fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    }
  }
  return out;
}

}  // namespace ipf::engine
