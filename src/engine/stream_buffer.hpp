#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine_output.hpp"
#include "engine/output_allowance.hpp"
#include "protocol/frames.hpp"

namespace ipf::engine {

struct StreamBufferOptions {
  std::size_t bytes_max{65536};  ///< more than this goes out at once
  std::size_t request_bytes_max{OutputAllowance::default_bytes_max};  ///< of one request; 0: any
};

/// stdout and stderr text between `print` and the iopub socket.
///
/// Text goes out as `stream` messages when it is more than `bytes_max`, when another iopub message
/// or the end of the request follows it, or when the IO thread's timer asks; a request that prints
/// nothing costs nothing. Each name keeps its own order, as with the reference.
///
/// Any thread; a mutex guards it, and is held while messages are pushed, so that no later text can
/// overtake earlier text.
class StreamBuffer {
 public:
  StreamBuffer(OutputMailbox& out, StreamBufferOptions options)
      : out_(out), options_(options), allowance_(options.request_bytes_max) {}

  /// `name` is "stdout" or "stderr".
  void write(std::string_view name, std::string_view text);
  /// Pushes what is there.
  void flush();
  /// Pushes what is there, then `message` with the present parent.
  void flush_then(Published message);
  /// IO thread: moves all that was pushed, then the text that waits, to `items` (empty before).
  /// Does nothing and returns false when another thread is writing just now: waiting for it here
  /// could mean waiting for ourselves, as that thread may wait for room in the mailbox.
  [[nodiscard]] bool collect(std::vector<EngineOutput>& items);
  /// Begins a request: text that is still there belongs to the one before.
  void set_parent(SharedBytes header, bool of_kernel = false);
  [[nodiscard]] SharedBytes parent() const;

 private:
  struct Stream {
    std::string name{};
    std::string text{};
  };
  [[nodiscard]] Published message_of(Stream& stream) const;
  void push_all();

  OutputMailbox& out_;
  const StreamBufferOptions options_;
  mutable std::mutex mutex_;
  SharedBytes parent_{};
  bool of_kernel_{};
  std::array<Stream, 2> streams_{Stream{.name = "stdout"}, Stream{.name = "stderr"}};
  std::size_t bytes_{};
  OutputAllowance allowance_;
};

}  // namespace ipf::engine
