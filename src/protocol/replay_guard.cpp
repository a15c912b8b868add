#include "protocol/replay_guard.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>
#include <iterator>
#include <optional>
#include <utility>

namespace ipf {

namespace {

constexpr std::size_t first_slots = 1024;

std::uint64_t fingerprint(std::string_view hex) {
  std::uint64_t value = 0;
  for (const char c : hex.substr(0, 16)) {
    const auto digit = static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    value = (value << 4U) | (digit & 15U);
  }
  return value == 0 ? 1 : value;  // 0 marks a free slot
}

struct Place {
  std::uint64_t sender{};  ///< a hash of `<session>_<pid>`
  std::uint64_t counter{};
};

/// Takes the text apart without parsing it: it is signed, so only a sender who has the key could
/// mislead this, and only about messages of its own.
std::optional<Place> find_place(std::string_view header) {
  constexpr std::string_view name = "\"msg_id\"";
  const auto* found =
      static_cast<const char*>(memmem(header.data(), header.size(), name.data(), name.size()));
  if (found == nullptr) {
    return std::nullopt;
  }
  header.remove_prefix(static_cast<std::size_t>(found - header.data()) + name.size());
  const std::size_t first = header.find('"');
  const std::size_t last = header.find('"', first + 1);
  if (first == std::string_view::npos || last == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view msg_id = header.substr(first + 1, last - first - 1);
  const std::size_t dash = msg_id.rfind('_');
  if (dash == std::string_view::npos) {
    return std::nullopt;
  }
  Place out{.sender = std::hash<std::string_view>{}(msg_id.substr(0, dash))};
  const char* end = msg_id.data() + msg_id.size();
  const auto read = std::from_chars(msg_id.data() + dash + 1, end, out.counter);
  constexpr std::uint64_t highest = std::uint64_t{1} << 62U;
  if (read.ec != std::errc{} || read.ptr != end || out.counter > highest) {
    return std::nullopt;
  }
  return out;
}

}  // namespace

bool ReplayGuard::first_sight(std::string_view signature, std::string_view header) {
  if (signature.empty()) {
    return true;
  }
  const std::uint64_t key = fingerprint(signature);
  if (young_.contains(key) || old_.contains(key)) {
    return false;
  }
  Sender* sender = nullptr;
  std::uint64_t behind = 0;
  if (const auto place = find_place(header)) {
    sender = &senders_[place->sender];
    behind = place->counter + 1;
    if (behind <= sender->forgotten) {
      return false;
    }
  }
  if (everywhere_ != nullptr && !everywhere_->insert(key)) {
    return false;
  }
  if (young_.size() >= window_) {
    next_generation();
    sender = sender == nullptr ? nullptr : &senders_[find_place(header)->sender];
  }
  young_.insert(key);
  if (sender != nullptr) {
    sender->young = std::max(sender->young, behind);
  }
  return true;
}

void ReplayGuard::forget(std::string_view signature) {
  const std::uint64_t key = fingerprint(signature);
  young_.erase(key);
  old_.erase(key);
}

void ReplayGuard::next_generation() {
  std::swap(young_, old_);
  young_.clear();
  const bool crowded = senders_.size() > senders_max_ / 2;
  for (auto at = senders_.begin(); at != senders_.end();) {
    Sender& sender = at->second;
    const bool silent = sender.young == 0 && sender.old == 0;
    sender.forgotten = std::max(sender.forgotten, sender.old);
    sender.old = sender.young;
    sender.young = 0;
    at = crowded && silent ? senders_.erase(at) : std::next(at);
  }
}

bool ReplayGuard::Set::contains(std::uint64_t key) const {
  if (slots_.empty()) {
    return false;
  }
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = key & mask; slots_[at] != 0; at = (at + 1) & mask) {
    if (slots_[at] == key) {
      return true;
    }
  }
  return false;
}

void ReplayGuard::Set::insert(std::uint64_t key) {
  if (2 * (size_ + 1) > slots_.size()) {
    grow();
  }
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = key & mask;
  while (slots_[at] != 0) {
    at = (at + 1) & mask;
  }
  slots_[at] = key;
  ++size_;
}

/// Those behind the gap move up, so that linear probing finds them without marks.
void ReplayGuard::Set::erase(std::uint64_t key) {
  if (!contains(key)) {
    return;
  }
  const std::size_t mask = slots_.size() - 1;
  std::size_t gap = key & mask;
  while (slots_[gap] != key) {
    gap = (gap + 1) & mask;
  }
  for (std::size_t at = (gap + 1) & mask; slots_[at] != 0; at = (at + 1) & mask) {
    if (((at - slots_[at]) & mask) >= ((at - gap) & mask)) {
      slots_[gap] = slots_[at];
      gap = at;
    }
  }
  slots_[gap] = 0;
  --size_;
}

void ReplayGuard::Set::grow() {
  const std::vector<std::uint64_t> before = std::move(slots_);
  slots_.assign(std::max(first_slots, before.size() * 2), 0);
  size_ = 0;
  for (const std::uint64_t key : before) {
    if (key != 0) {
      insert(key);
    }
  }
}

void ReplayGuard::Set::clear() {
  std::fill(slots_.begin(), slots_.end(), 0);
  size_ = 0;
}

}  // namespace ipf
