#include "scheduler/backlog.hpp"

#include <algorithm>
#include <utility>

#include "core/check.hpp"

namespace ipf {

void Backlog::add(std::string_view client, std::size_t bytes) {
  Client& entry = clients_[std::string(client)];
  entry.bytes += bytes;
  all_ += bytes;
  full_ = full_ || all_ >= limits_.all_max;
  if (!entry.stopped && entry.bytes >= limits_.client_max) {
    entry.stopped = true;
    changes_.push_back({.client = std::string(client), .stop = true});
  }
}

void Backlog::remove(std::string_view client, std::size_t bytes) {
  const auto found = clients_.find(std::string(client));
  if (found == clients_.end()) {
    return;
  }
  Client& entry = found->second;
  bytes = std::min(bytes, entry.bytes);
  entry.bytes -= bytes;
  all_ -= bytes;
  full_ = full_ && !is_over(all_, limits_.all_max);
  if (entry.stopped && is_over(entry.bytes, limits_.client_max)) {
    entry.stopped = false;
    changes_.push_back({.client = found->first, .stop = false});
  }
  if (entry.bytes == 0) {
    clients_.erase(found);
  }
}

std::vector<Backlog::Change> Backlog::take_changes() {
  return std::exchange(changes_, {});
}

void Backlog::check_invariants() const {
  std::size_t sum = 0;
  for (const auto& [name, client] : clients_) {
    IPF_CHECK(client.bytes > 0);
    sum += client.bytes;
  }
  IPF_CHECK(sum == all_);
}

}  // namespace ipf
