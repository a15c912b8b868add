#include "protocol/replay_guard.hpp"

#include <algorithm>
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

}  // namespace

bool ReplayGuard::first_sight(std::string_view signature) {
  if (signature.empty()) {
    return true;
  }
  const std::uint64_t key = fingerprint(signature);
  if (young_.contains(key) || old_.contains(key)) {
    return false;
  }
  if (young_.size() >= window_) {
    std::swap(young_, old_);
    young_.clear();
  }
  young_.insert(key);
  return true;
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
