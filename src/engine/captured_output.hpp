#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "engine/engine_output.hpp"
#include "engine/output_allowance.hpp"
#include "engine/output_capture.hpp"
#include "net/io_loop.hpp"
#include "net/loop_sources.hpp"
#include "protocol/frames.hpp"

namespace ipf::engine {

/// What OutputCapture reads, on its way to clients: whom it belongs to, and how much of it one
/// request may bring. Belongs to the IO thread.
class CapturedOutput {
 public:
  using Publish = std::function<void(const Published& message)>;

  /// `capture` may be null: then there is never anything. `request_bytes_max` of 0: any number.
  CapturedOutput(IoLoop& loop,
                 OutputCapture* capture,
                 std::size_t request_bytes_max,
                 Publish publish);

  /// What comes from now on belongs to the request with this header.
  void begin(SharedBytes parent, bool of_kernel);
  /// True if the loop has seen that there is something to read.
  bool take_waiting();
  /// Reads what is there; publishes only what is too much to keep.
  void read();
  void publish();

 private:
  OutputCapture* const capture_;
  Publish publish_;
  std::array<std::optional<LoopFd>, OutputCapture::streams> waiting_{};
  std::array<std::string, OutputCapture::streams> texts_{};
  OutputAllowance allowance_;
  SharedBytes parent_{};
  bool of_kernel_{};  ///< as Published::of_kernel
};

}  // namespace ipf::engine
