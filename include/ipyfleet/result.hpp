#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ipyfleet/types.hpp"

namespace ipf {

namespace client {
struct RequestState;
class Watch;
}  // namespace client

enum class Status { pending, ok, error, aborted };

/// One message that an engine published while it worked on a request: a part of stdout or stderr
/// (`stream`), `display_data`, `execute_input`, `execute_result`, `error`.
struct Output {
  std::string type{};
  std::string content{};  ///< JSON text
  std::vector<Buffer> buffers{};
};

/// What has been published so far.
struct Outputs {
  std::vector<Output> items{};
  bool truncated{false};  ///< there was more than ClientLimits::output_bytes_max
};

/// A request that was sent, and its result when that has come.
///
/// A cheap handle; copies mean the same request. All functions may be called from any thread, also
/// after the client is gone. The functions that describe the reply are only for requests that are
/// done(); until then they return empty values.
class Request {
 public:
  Request() = default;
  explicit Request(std::shared_ptr<client::RequestState> state) : state_(std::move(state)) {}

  [[nodiscard]] std::uint64_t number() const;
  /// The id on the wire, `<session>_<pid>_<number>`; `<session>_<pid>_<number>_<engine uuid>` for
  /// one engine of a broadcast.
  [[nodiscard]] std::string msg_id() const;
  /// "apply_request", "execute_request", ...
  [[nodiscard]] const std::string& type() const;
  /// The engine that the request was sent to; empty for load-balanced and hub requests.
  [[nodiscard]] const std::string& target() const;
  [[nodiscard]] std::int64_t submitted_microseconds() const;

  [[nodiscard]] bool done() const;
  /// All output has come. It may come after the result.
  [[nodiscard]] bool output_done() const;

  /// Future::cancel() or Client::cancel_outstanding() stopped it; its reply may still come.
  [[nodiscard]] bool cancelled() const;

  [[nodiscard]] Status status() const;
  [[nodiscard]] std::int64_t received_microseconds() const;
  /// Name and text of an error that was found here and not by an engine: its engine was lost
  /// ("EngineError") or the client was closed ("ClientClosed"). Empty if there was a reply.
  [[nodiscard]] std::string local_error_name() const;
  [[nodiscard]] std::string local_error_text() const;

  /// JSON texts of the reply; views into it, valid as long as any handle of the request.
  [[nodiscard]] std::string_view reply_header() const;
  [[nodiscard]] std::string_view reply_metadata() const;
  [[nodiscard]] std::string_view reply_content() const;
  /// The frames behind the content; each shares the memory it was received in.
  [[nodiscard]] std::vector<Buffer> reply_buffers() const;

  /// What was published so far, from the message with this index on.
  [[nodiscard]] Outputs outputs(std::size_t first = 0) const;

  /// Waits for the result; false when it is not there in time.
  [[nodiscard]] bool wait(Timeout timeout = forever) const;
  /// Waits for the result and all output.
  [[nodiscard]] bool wait_for_output(Timeout timeout = forever) const;

  [[nodiscard]] const std::shared_ptr<client::RequestState>& state() const { return state_; }

 private:
  std::shared_ptr<client::RequestState> state_;
};

/// Tells which of a set of requests finish, in the order in which they do. One thread takes them;
/// any thread may add more.
class Completions {
 public:
  /// What to wait for.
  enum class Until { result, output };

  explicit Completions(std::span<const Request> requests, Until until = Until::result);
  Completions(Completions&&) noexcept;
  Completions& operator=(Completions&&) noexcept;
  Completions(const Completions&) = delete;
  Completions& operator=(const Completions&) = delete;
  ~Completions();

  /// Adds a request under an index of the caller's choice.
  void add(const Request& request, std::uint32_t index, Until until = Until::result);
  /// Indices of requests that have finished since the last call; waits for at least one. Empty when
  /// none finished in time or all have been told.
  std::vector<std::uint32_t> next(Timeout timeout = forever);
  /// Waits for all; false when some are open at the end of the time.
  bool wait_all(Timeout timeout = forever);
  /// Requests that have not finished.
  [[nodiscard]] std::size_t open() const;

 private:
  std::shared_ptr<client::Watch> watch_;
};

}  // namespace ipf
