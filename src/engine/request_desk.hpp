#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/clock.hpp"
#include "engine/engine_events.hpp"
#include "engine/engine_link.hpp"
#include "engine/engine_messages.hpp"
#include "engine/engine_output.hpp"
#include "engine/kernel_link.hpp"
#include "engine/reply_texts.hpp"
#include "engine/sent_replies.hpp"
#include "engine/usage_report.hpp"

namespace ipf::engine {

/// Whom an engine talks to.
struct Peers {
  std::unique_ptr<EngineLink> link{};    ///< null for a kernel without a controller
  std::shared_ptr<KernelLink> kernel{};  ///< null unless frontends may connect
};

/// A comm's message, which asks for no reply.
bool is_comm(std::string_view msg_type);

/// What peers have asked for, and all that is said about it: the requests that have not got their
/// idle yet, statuses, replies, published messages, and the last replies for those that ask twice.
/// Performs the machine's orders that answer somebody. Belongs to the IO thread.
class RequestDesk {
 public:
  /// A request that has not got its idle yet.
  struct Request {
    Channel channel{Channel::shell};
    std::string msg_type{};
    std::string msg_id{};
    Message head;                      ///< without large buffers
    std::optional<Message> request{};  ///< complete, until Python has it
    WallTime started{};
    std::string content{};  ///< of Python's reply
    Frames buffers{};
  };

  /// `peers` may change, and must outlive the desk.
  explicit RequestDesk(const Peers& peers) : peers_(peers) {}
  RequestDesk(const RequestDesk&) = delete;
  RequestDesk& operator=(const RequestDesk&) = delete;

  void shell_is_there(std::string python_version, bool debugger);

  void add(RequestToken token, Request request);
  /// It must be there.
  Request& at(RequestToken token);
  [[nodiscard]] const Request* find(RequestToken token) const;
  /// A request of the controller's clients has come a second time: answers again, along its new
  /// route, if it was answered. False if not.
  bool answer_again(std::string_view msg_id, const Message& message);
  void clear();

  [[nodiscard]] const EngineIdentity& identity() const;
  void publish(const Published& message);

  void perform(const PublishBusy& action);
  /// The request is not there any more afterwards.
  void perform(const PublishIdle& action);
  void perform(const SendResult& action);
  void perform(const SendAborted& action);
  void perform(const SendAnswer& action);
  void perform(const SendOk& action);
  void perform(const SendFailure& action);
  void perform(const AnnounceShutdown& action);
  void perform(const SendCancelled& action);

 private:
  void reply(const Request& request,
             std::string_view content,
             ReplyFacts facts = {},
             const Frames& buffers = {});
  void publish_status(const Request& request, std::string_view state);
  [[nodiscard]] std::string connect_content(Channel channel) const;

  const Peers& peers_;
  std::unordered_map<std::uint64_t, Request> requests_{};
  SentReplies sent_replies_{};
  UsageMeter usage_{};
  std::string python_version_{};
  bool debugger_{};
};

/// An order of the machine that answers somebody.
template <class Action>
concept Answering = requires(RequestDesk& desk, const Action& action) { desk.perform(action); };

}  // namespace ipf::engine
