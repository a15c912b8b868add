#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

/// Plain types of the C++ client. Nothing here needs libzmq or a JSON library.
namespace ipf {

/// How long a call may wait; `forever` means until it is done.
using Timeout = std::chrono::nanoseconds;
inline constexpr Timeout forever = Timeout::max();

/// What a ClientError is about.
enum class ClientErrorCode {
  invalid_argument,  ///< the call cannot be right, whatever the cluster does
  not_found,         ///< no connection file, or one that names nothing
  permission,        ///< the ssh server wants a password, or another key
  unsupported,       ///< the connection file asks for something that this client cannot do
  timed_out,         ///< no answer within the time allowed
  too_many,          ///< a limit of ClientLimits is reached
  closed,            ///< the client was closed, or its controller shut down
  forked,            ///< the client belongs to the parent of this process
};

/// Thrown by the functions of Client; what() says what was tried and what to do.
class ClientError : public std::runtime_error {
 public:
  ClientError(ClientErrorCode code, const std::string& text)
      : std::runtime_error(text), code_(code) {}
  [[nodiscard]] ClientErrorCode code() const { return code_; }

 private:
  ClientErrorCode code_;
};

/// Bytes of a message. With an owner they are shared, never copied when they are many, and the
/// owner is let go of on a thread of libzmq; without one they are copied before the call returns.
struct Buffer {
  std::shared_ptr<const void> owner{};
  std::string_view bytes{};
};

/// An engine that the controller has registered.
struct EngineInfo {
  int id{};
  std::string uuid{};
  bool operator==(const EngineInfo&) const = default;
};

/// Where the controller is. The first field that is set counts: text, file, profile.
struct ConnectOptions {
  std::string connection_text{};  ///< the JSON of a client connection file
  std::string file{};             ///< path of a client connection file
  std::string profile{};          ///< name of an IPython profile; empty means "default"
  std::string profile_dir{};      ///< directory of the profile; beats `profile`
  std::string ipython_dir{};      ///< empty means $IPYTHONDIR, else ~/.ipython
  std::string cluster_id{};       ///< empty means $IPP_CLUSTER_ID, else the cluster without id
  /// `tcp://host` or `tcp://host:port`, in place of the host and the registration port that the
  /// file names: where a controller is reached by another name than the one it knows of itself.
  std::string url{};
  /// `[user@]host[:port]`: all connections go through one ssh process by way of this server. Empty:
  /// the one that the connection file names, if the controller cannot be reached without it.
  std::string ssh_server{};
  std::string ssh_key{};                      ///< file of a private key; empty: as ssh finds one
  std::string ssh_password{};                 ///< empty: none; ssh asks nobody, it fails
  Timeout timeout{std::chrono::seconds(10)};  ///< for the controller's first answer
};

/// The most that a client keeps; reaching a limit is an error or drops the oldest, as said.
struct ClientLimits {
  /// Requests without a result; one more makes send() throw `too_many`.
  std::size_t outstanding_max{4'000'000};
  /// Finished requests that find() still knows; the oldest are forgotten.
  std::size_t kept_results_max{10'000};
  /// Bytes of the replies to these.
  std::size_t kept_bytes_max{256UL << 20U};
  /// Bytes of output of one request; what comes after is dropped and Output says so.
  std::size_t output_bytes_max{64UL << 20U};
  /// Answered requests whose output is still open; the oldest count as complete.
  std::size_t open_outputs_max{100'000};
};

}  // namespace ipf
