#include "engine/stream_buffer.hpp"

#include <utility>

#include "engine/reply_texts.hpp"

namespace ipf::engine {

void StreamBuffer::write(std::string_view name, std::string_view text) {
  if (text.empty()) {
    return;
  }
  const std::scoped_lock lock(mutex_);
  const bool first = bytes_ == 0;
  std::string& waiting = (name == "stderr" ? streams_[1] : streams_[0]).text;
  const std::size_t before = waiting.size();
  allowance_.add(text, waiting);
  bytes_ += waiting.size() - before;
  if (bytes_ == 0) {
    return;
  }
  if (bytes_ > options_.bytes_max) {
    push_all();
  } else if (first) {
    out_.push(StreamWaiting{});
  }
}

void StreamBuffer::flush() {
  const std::scoped_lock lock(mutex_);
  push_all();
}

void StreamBuffer::flush_then(Published message) {
  const std::scoped_lock lock(mutex_);
  push_all();
  message.parent = parent_;
  message.of_kernel = of_kernel_;
  out_.push(std::move(message));
}

void StreamBuffer::set_parent(SharedBytes header, bool of_kernel) {
  const std::scoped_lock lock(mutex_);
  push_all();
  allowance_.restart();
  parent_ = std::move(header);
  of_kernel_ = of_kernel;
}

SharedBytes StreamBuffer::parent() const {
  const std::scoped_lock lock(mutex_);
  return parent_;
}

bool StreamBuffer::collect(std::vector<EngineOutput>& items) {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) {
    return false;
  }
  out_.take(items);
  for (auto& stream : streams_) {
    if (!stream.text.empty()) {
      items.emplace_back(message_of(stream));
    }
  }
  bytes_ = 0;
  return true;
}

Published StreamBuffer::message_of(Stream& stream) const {
  Published message{.msg_type = "stream",
                    .topic = stream.name,
                    .content = stream_content(stream.name, stream.text),
                    .parent = parent_,
                    .of_kernel = of_kernel_};
  stream.text.clear();
  return message;
}

void StreamBuffer::push_all() {
  if (bytes_ == 0) {
    return;
  }
  for (auto& stream : streams_) {
    if (!stream.text.empty()) {
      out_.push(message_of(stream));
    }
  }
  bytes_ = 0;
}

}  // namespace ipf::engine
