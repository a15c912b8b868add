// The public handles of include/ipyfleet/result.hpp.
#include <algorithm>
#include <utility>

#include "client/result_board.hpp"
#include "client/watch.hpp"
#include "ipyfleet/result.hpp"

namespace ipf {

namespace {

const Message* reply_of(const client::RequestState& state) {
  return state.done.load() && state.reply ? &*state.reply : nullptr;
}

Buffer to_buffer(SharedBytes shared) {
  return {std::move(shared.owner), shared.bytes};
}

std::vector<Buffer> buffers_of(const Message& message) {
  std::vector<Buffer> out;
  out.reserve(message.buffer_count());
  for (std::size_t i = message.first_buffer(); i < message.frames().size(); ++i) {
    out.push_back(to_buffer(message.frames().shared(i)));
  }
  return out;
}

}  // namespace

std::uint64_t Request::number() const {
  return state_->number;
}

std::string Request::msg_id() const {
  return state_->msg_id();
}

const std::string& Request::type() const {
  return state_->type;
}

const std::string& Request::target() const {
  return state_->target;
}

std::int64_t Request::submitted_microseconds() const {
  return state_->submitted.microseconds;
}

bool Request::done() const {
  return state_->done.load();
}

bool Request::output_done() const {
  return state_->output_done.load();
}

bool Request::cancelled() const {
  return state_->cancelled.load();
}

Status Request::status() const {
  return done() ? state_->status : Status::pending;
}

std::int64_t Request::received_microseconds() const {
  return done() ? state_->received.microseconds : 0;
}

std::string Request::local_error_name() const {
  return done() ? state_->failure.ename : "";
}

std::string Request::local_error_text() const {
  return done() ? state_->failure.evalue : "";
}

std::string_view Request::reply_header() const {
  const Message* reply = reply_of(*state_);
  return reply == nullptr ? std::string_view() : reply->header();
}

std::string_view Request::reply_metadata() const {
  const Message* reply = reply_of(*state_);
  return reply == nullptr ? std::string_view() : reply->metadata();
}

std::string_view Request::reply_content() const {
  const Message* reply = reply_of(*state_);
  return reply == nullptr ? std::string_view() : reply->content();
}

std::vector<Buffer> Request::reply_buffers() const {
  const Message* reply = reply_of(*state_);
  return reply == nullptr ? std::vector<Buffer>() : buffers_of(*reply);
}

Outputs Request::outputs(std::size_t first) const {
  const std::scoped_lock lock(state_->mutex);
  Outputs out{.truncated = state_->truncated};
  const std::size_t count = state_->outputs.size();
  out.items.reserve(count - std::min(first, count));
  for (std::size_t i = first; i < count; ++i) {
    const auto& part = state_->outputs[i];
    out.items.push_back({part.type, std::string(part.message.content()), buffers_of(part.message)});
  }
  return out;
}

bool Request::wait(Timeout timeout) const {
  return done() || Completions({this, 1}).wait_all(timeout);
}

bool Request::wait_for_output(Timeout timeout) const {
  if (done() && output_done()) {
    return true;
  }
  const auto watch = std::make_shared<client::Watch>(2);
  state_->tell(watch, 0, false);
  state_->tell(watch, 1, true);
  return watch->wait_all(timeout);
}

Completions::Completions(std::span<const Request> requests, Until until)
    : watch_(std::make_shared<client::Watch>(requests.size())) {
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].state()->tell(watch_, static_cast<std::uint32_t>(i), until == Until::output);
  }
}

Completions::Completions(Completions&&) noexcept = default;
Completions& Completions::operator=(Completions&&) noexcept = default;
Completions::~Completions() = default;

void Completions::add(const Request& request, std::uint32_t index, Until until) {
  watch_->expect();
  request.state()->tell(watch_, index, until == Until::output);
}

std::vector<std::uint32_t> Completions::next(Timeout timeout) {
  return watch_->next(timeout);
}

bool Completions::wait_all(Timeout timeout) {
  return watch_->wait_all(timeout);
}

std::size_t Completions::open() const {
  return watch_->open();
}

}  // namespace ipf
