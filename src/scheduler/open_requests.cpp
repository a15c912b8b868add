#include "scheduler/open_requests.hpp"

#include <algorithm>
#include <utility>

#include "core/check.hpp"

namespace ipf {

namespace {
std::uint64_t key_of(std::string_view msg_id) {
  return std::hash<std::string_view>{}(msg_id);
}
}  // namespace

OpenRequests::Opened OpenRequests::open(std::string_view msg_id,
                                        std::string_view engine,
                                        std::size_t bytes,
                                        std::optional<Message> request_message) {
  const std::uint64_t key = key_of(msg_id);
  if (requests_.contains(key)) {
    return Opened::is_open;
  }
  if (requests_.size() >= options_.count_max || bytes_ + bytes > options_.bytes_max) {
    return Opened::no_room;
  }
  auto holder = engines_.find(engine);
  if (holder == engines_.end()) {
    holder = engines_.emplace(std::string(engine), Engine{}).first;
  }
  Request& request = requests_[key];
  request = {.engine = &holder->second,
             .bytes = bytes,
             .key = key,
             .previous = nullptr,
             .next = holder->second.first,
             .message = std::move(request_message)};
  if (request.next != nullptr) {
    request.next->previous = &request;
  }
  holder->second.first = &request;
  bytes_ += bytes;
  return Opened::yes;
}

bool OpenRequests::close(std::string_view msg_id, std::string_view engine) {
  const auto found = requests_.find(key_of(msg_id));
  const auto holder = engines_.find(engine);
  if (found == requests_.end() || holder == engines_.end() ||
      found->second.engine != &holder->second) {
    return false;
  }
  remove(found);
  return true;
}

std::vector<Message> OpenRequests::of(std::string_view engine) const {
  std::vector<Message> out;
  if (const auto holder = engines_.find(engine); holder != engines_.end()) {
    for (const Request* at = holder->second.first; at != nullptr; at = at->next) {
      if (at->message) {
        out.push_back(*at->message);
      }
    }
  }
  std::ranges::reverse(out);  // the list begins with the last one
  return out;
}

bool OpenRequests::is_open(std::string_view msg_id) const {
  return requests_.contains(key_of(msg_id));
}

void OpenRequests::remove(std::unordered_map<std::uint64_t, Request>::iterator at) {
  const Request& request = at->second;
  (request.previous == nullptr ? request.engine->first : request.previous->next) = request.next;
  if (request.next != nullptr) {
    request.next->previous = request.previous;
  }
  bytes_ -= request.bytes;
  requests_.erase(at);
}

void OpenRequests::forget(std::string_view engine) {
  const auto holder = engines_.find(engine);
  if (holder == engines_.end()) {
    return;
  }
  while (holder->second.first != nullptr) {
    remove(requests_.find(holder->second.first->key));
  }
  engines_.erase(holder);
}

void OpenRequests::check_invariants() const {
  std::size_t count = 0;
  std::size_t bytes = 0;
  for (const auto& [uuid, engine] : engines_) {
    const Request* previous = nullptr;
    for (const Request* at = engine.first; at != nullptr; at = at->next) {
      IPF_CHECK(at->engine == &engine && at->previous == previous);
      IPF_CHECK(requests_.contains(at->key));
      ++count;
      bytes += at->bytes;
      previous = at;
    }
  }
  IPF_CHECK(count == requests_.size() && bytes == bytes_);
  IPF_CHECK(count <= options_.count_max && bytes <= options_.bytes_max);
}

}  // namespace ipf
