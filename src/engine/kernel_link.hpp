#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/ids.hpp"
#include "core/result.hpp"
#include "engine/engine_messages.hpp"
#include "engine/engine_output.hpp"
#include "net/io_loop.hpp"
#include "net/loop_sources.hpp"
#include "net/socket.hpp"
#include "protocol/kernel_file.hpp"
#include "protocol/message.hpp"

namespace ipf::engine {

/// Who an engine is towards frontends.
struct KernelOwner {
  std::string uuid{};
  std::string username{};
  EngineId id{};
};

/// The listening sockets of a Jupyter kernel: frontends connect to them. One thread at a time; it
/// may be made in another thread than the one that uses it.
class KernelLink {
 public:
  /// Binds all five ports; those that are 0 are chosen. Fails for a port that is taken.
  static Result<std::unique_ptr<KernelLink>> open(KernelConnection wanted,
                                                  const KernelOwner& owner);
  KernelLink(const KernelLink&) = delete;
  KernelLink& operator=(const KernelLink&) = delete;
  ~KernelLink();

  /// The connection file, which is removed with the link.
  void owns_file(std::filesystem::path file) { file_ = std::move(file); }

  /// With the ports that are open.
  [[nodiscard]] const KernelConnection& connection() const { return connection_; }
  [[nodiscard]] const Signer& signer() const { return messages_.signer(); }
  [[nodiscard]] const EngineIdentity& identity() const { return messages_.identity(); }

  /// From now on the loop of the thread that uses this wakes up for it. Outlives the link.
  void attach(IoLoop& loop);
  std::optional<Frames> receive(Channel channel);
  /// A message of the input channel.
  std::optional<Frames> receive_input() { return input_.source->receive(); }
  /// Something has arrived that no wait of the loop would tell of.
  [[nodiscard]] bool pending() const;

  void publish_status(std::string_view parent, std::string_view state);
  void publish(const Published& message);
  void reply(const ReplyTarget& target,
             const ReplyFacts& facts,
             std::string_view content,
             const Frames& buffers);
  /// Asks the frontend that sent `request` for a line. False when it is not connected any more.
  bool ask(const Message& request, std::string_view prompt, bool password);
  /// Sends pings back as they came.
  void echo_heartbeats();
  /// Says hello to whoever has subscribed to iopub, so that it knows that it hears everything from
  /// now on.
  void welcome_subscribers();

 private:
  KernelLink(KernelConnection wanted, const KernelOwner& owner, Signer signer);
  /// A socket and, once attached, its place in the loop.
  struct Listener {
    Socket socket;
    std::optional<LoopReceiver> source{};
    ipf::SendResult send(const Frames& frames);
  };
  Result<void> bind(Socket& socket, int& port);

  KernelConnection connection_;
  std::filesystem::path file_{};
  EngineMessages messages_;
  NetContext context_{};  // before its sockets
  Listener shell_;
  Listener control_;
  Listener iopub_;
  Listener input_;
  Listener heartbeat_;
};

}  // namespace ipf::engine
