#include "engine/request_guard.hpp"

#include <utility>

namespace ipf::engine {

bool RequestGuard::first_sight(const Message& message) {
  bool first = seen_.first_sight(message.signature());
  for (const Signer& key : old_keys_) {
    first = seen_.first_sight(key.sign(message.signed_parts())) && first;
  }
  return first;
}

void RequestGuard::forget(const Message& message) {
  seen_.forget(message.signature());
  for (const Signer& key : old_keys_) {
    seen_.forget(key.sign(message.signed_parts()));
  }
}

void RequestGuard::remember_key(Signer old) {
  if (old_keys_.size() == old_keys_max) {
    old_keys_.erase(old_keys_.begin());
  }
  old_keys_.push_back(std::move(old));
}

}  // namespace ipf::engine
