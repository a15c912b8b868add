#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "client/client_machine.hpp"
#include "client/connection.hpp"
#include "client/message_reader.hpp"
#include "client/request_writer.hpp"
#include "client/result_board.hpp"
#include "core/mailbox.hpp"
#include "net/wakeup.hpp"
#include "protocol/signer.hpp"

namespace ipf::client {

/// What the reactor has dropped since it started; read it from any thread.
struct DropCounts {
  std::atomic<std::uint64_t> malformed{0};
  std::atomic<std::uint64_t> unauthentic{0};  ///< wrong signature, or seen before
};

/// The IO thread of a client: owns the sockets, the machine, the writer and the reader. It reads
/// and writes the network itself (net/zmtp_connector).
///
/// Requests come in over a bounded mailbox, results go out over the board. The eventfd is written
/// only when this thread is about to sleep, so a burst of requests costs one system call.
class ClientReactor {
 public:
  /// Connects the sockets and starts the thread. `signer` and `board` must outlive the reactor.
  /// Throws ClientError when an address cannot be connected to.
  ClientReactor(const FoundConnection& connection,
                const ClientLimits& limits,
                RequestWriter writer,
                const Signer& signer,
                ResultBoard& board);
  ClientReactor(const ClientReactor&) = delete;
  ClientReactor& operator=(const ClientReactor&) = delete;
  /// As stop().
  ~ClientReactor();

  /// Queues a request; waits while the mailbox is full. False when the thread has ended.
  bool submit(NewRequest request);
  /// Ends the thread after it has sent what was submitted; what is outstanding fails.
  void stop();
  [[nodiscard]] const DropCounts& dropped() const { return dropped_; }

 private:
  struct Network;

  void run(const std::stop_token& stopping);
  void loop(const std::stop_token& stopping);
  /// Fails what is outstanding and closes the sockets.
  void end();
  void wake();
  /// Hands the machine what was submitted.
  void take_submissions(TimePoint now);
  /// One message for all, and a request that waits for each engine's answer.
  void submit_broadcast(TimePoint now, const NewRequest& request);
  void receive(TimePoint now);
  void feed(TimePoint now, MessageReader::Read read);
  /// Performs the actions of a round.
  void act();
  void send(const NewRequest& request);
  void on_change(TimePoint now, const std::string& link, bool up);
  /// Sends again, byte for byte, what has no answer yet: the controller may have been restarted, or
  /// the message lost with the connection. Who has it already drops the copy as a replay.
  void send_unanswered(Channel channel);

  ResultBoard& board_;
  RequestWriter writer_;
  MessageReader reader_;
  ClientMachine machine_;
  DropCounts dropped_;

  Wakeup wakeup_;
  std::unique_ptr<Network> network_;  ///< gone when the thread has ended

  std::atomic<bool> sleeping_{false};
  Mailbox<NewRequest> mailbox_;
  std::vector<NewRequest> submitted_;
  ClientActions actions_;
  struct Sent {
    Channel channel{};
    Frames frames{};
  };
  /// On mux, task and control: what waits for its reply, or for its link.
  std::unordered_map<RequestNumber, Sent> unanswered_;
  std::string close_reason_{"the client was closed"};
  bool ended_{false};
  std::once_flag stopped_;
  std::jthread thread_;  ///< last: everything above is there when it starts
};

}  // namespace ipf::client
