#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <sys/types.h>
#include <vector>

#include "core/clock.hpp"
#include "core/result.hpp"
#include "protocol/json_text.hpp"

namespace ipf::engine {

/// How a nanny and the fork server of its set talk: over a Unix socket in the abstract namespace,
/// which only processes of the same user may use. The nanny sends a length, the descriptors of the
/// new engine, and a ForkRequest; the server answers with lines of JSON, {"pid": n} or
/// {"error": text}, and {"ended": wait status, "pid": n} when the engine has ended.

/// Descriptors that an engine gets: its link to the nanny, stdout, stderr, and the ends of the
/// pipes that catch its output (see OutputCapture::pipe_ends()).
inline constexpr std::size_t fork_descriptors = 7;
using ForkDescriptors = std::array<int, fork_descriptors>;

struct ForkRequest {
  std::vector<std::string> arguments{};    ///< of ipengine, without the program's name
  std::vector<std::string> environment{};  ///< NAME=value
  std::string work_dir{};
  std::string file{};  ///< the connection file
  int generation{};
  int wanted_id{-1};
};

/// An engine that another process has prepared: who it is to be. Python runs in it, the GIL is
/// held.
struct ForkedEngine {
  ForkRequest request{};
  ForkDescriptors descriptors{};
};

Json fork_request_json(const ForkRequest& request);
/// What is missing has its default.
ForkRequest fork_request_of(const Json& json);

/// What a process was started with: options are parsed again in the engine, and what was secret in
/// the environment is not there any more.
struct ProcessStart {
  std::vector<std::string> arguments{};
  std::vector<std::string> environment{};
};

/// A listening socket for this name; its descriptor.
Result<int> listen_for_forks(const std::string& name);
/// True when the process at the other end belongs to this user.
bool is_same_user(int socket);
/// Waits for a complete request, two seconds at most. Fails when the other end is gone.
Result<ForkRequest> receive_fork_request(int socket, ForkDescriptors& descriptors);

/// A nanny's end. One thread.
class ForkClient {
 public:
  ForkClient() = default;
  ForkClient(ForkClient&& other) noexcept;
  ForkClient& operator=(ForkClient&&) = delete;
  ~ForkClient();

  /// Tries for `patience`: the server may have been started at the same time.
  static Result<ForkClient> connect(const std::string& name, Duration patience);

  /// Asks for an engine and waits for it. After an error the server is not asked again.
  Result<pid_t> start(const ForkRequest& request, std::span<const int> descriptors);
  /// How the engine ended, as waitpid() tells it; waits for the server's word not longer than
  /// `patience`.
  std::optional<int> end_of(pid_t engine, Duration patience);
  [[nodiscard]] bool usable() const { return fd_ >= 0; }
  [[nodiscard]] int fd() const { return fd_; }
  void close();

 private:
  std::optional<std::string> read_line(TimePoint deadline);

  int fd_{-1};
  std::string text_{};
};

}  // namespace ipf::engine
