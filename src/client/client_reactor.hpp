#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
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
  /// Connects the sockets and starts the thread. `signer` and `board` must outlive the reactor;
  /// from here on `signer` is the thread's, which changes it when the cluster gets another key.
  /// Throws ClientError when an address cannot be connected to.
  ClientReactor(const FoundConnection& connection,
                ConnectionWatch watch,
                const ClientLimits& limits,
                RequestWriter writer,
                Signer& signer,
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
  /// While the hub does not answer: another controller may have written its file by now.
  void look_for_another(TimePoint now);
  /// Lets go of the old controller.
  void go_to(TimePoint now, const FoundConnection& connection);
  /// Sends again, byte for byte, what has no answer yet: the controller may have been restarted, or
  /// the message lost with the connection. Who has it already drops the copy as a replay.
  void send_unanswered(Channel channel);
  /// Those on mux and control that this engine was sent.
  void send_unanswered_to(std::string_view engine_uuid);
  template <class Predicate>
  void send_unanswered_if(const Predicate& wanted);

  ResultBoard& board_;
  Signer& signer_;
  ConnectionWatch watch_;
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
    std::string target{};  ///< an engine, or empty
    Frames frames{};
  };
  /// On mux, task and control: what waits for its reply, or for its link.
  std::unordered_map<RequestNumber, Sent> unanswered_;
  bool answered_{false};  ///< the hub, since its link is there
  TimePoint look_at_{};   ///< for another controller, unless it has answered
  std::string close_reason_{"the client was closed"};
  bool ended_{false};
  std::once_flag stopped_;
  std::jthread thread_;  ///< last: everything above is there when it starts
};

}  // namespace ipf::client
