#include "engine/captured_output.hpp"

#include <utility>

#include "engine/reply_texts.hpp"

namespace ipf::engine {

namespace {

/// As much goes out at once; the rest waits for the timer or the request's end.
constexpr std::size_t kept_max = 65536;
constexpr std::array<const char*, OutputCapture::streams> stream_names{"stdout", "stderr"};

}  // namespace

CapturedOutput::CapturedOutput(IoLoop& loop,
                               OutputCapture* capture,
                               std::size_t request_bytes_max,
                               Publish publish)
    : capture_(capture), publish_(std::move(publish)), allowance_(request_bytes_max) {
  for (std::size_t i = 0; capture_ != nullptr && i < OutputCapture::streams; ++i) {
    waiting_[i].emplace(loop, capture_->fd(i));
  }
}

void CapturedOutput::begin(SharedBytes parent, bool of_kernel) {
  parent_ = std::move(parent);
  of_kernel_ = of_kernel;
  allowance_.restart();
  if (capture_ != nullptr) {
    capture_->discard(false);
  }
}

bool CapturedOutput::take_waiting() {
  bool any = false;
  for (auto& source : waiting_) {
    any = (source && source->take()) || any;
  }
  return any;
}

void CapturedOutput::read() {
  if (capture_ == nullptr || !capture_->waiting()) {
    return;
  }
  auto& capture = *capture_;
  for (std::size_t i = 0; i < OutputCapture::streams; ++i) {
    capture.read(i, texts_[i]);
    if (texts_[i].size() > kept_max) {
      publish();
    }
  }
}

void CapturedOutput::publish() {
  for (std::size_t i = 0; i < OutputCapture::streams; ++i) {
    std::string shown;
    allowance_.add(texts_[i], shown);
    texts_[i].clear();
    if (!shown.empty()) {
      publish_(Published{.msg_type = "stream",
                         .topic = stream_names[i],
                         .content = stream_content(stream_names[i], shown),
                         .parent = parent_,
                         .of_kernel = of_kernel_});
    }
  }
  if (capture_ != nullptr) {
    capture_->discard(allowance_.used_up());
  }
}

}  // namespace ipf::engine
