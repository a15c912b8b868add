#include "controller/client_routes.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>
#include <vector>

namespace ipf {

void ClientRoutes::spoke(std::string_view identity, std::string_view session) {
  const std::uint64_t hash = std::hash<std::string_view>{}(session);
  looked_up_ = identity;
  const auto [known, is_new] = spoken_.try_emplace(looked_up_, hash);
  if (!is_new && known->second == hash) {
    return;
  }
  known->second = hash;
  silent_.erase(looked_up_);
  const std::string name(session);
  by_session_[name] = looked_up_;
  deliver_kept(name, looked_up_);
  if (spoken_.size() > 2 * clients_.connection_count() + 1024) {
    forget_gone();
  }
}

void ClientRoutes::send_elsewhere(TimePoint now,
                                  std::string_view session,
                                  std::span<const std::string_view> first,
                                  const Frames& rest,
                                  std::size_t from) {
  FramesBuilder builder;
  for (const std::string_view frame : first) {
    builder.add(frame);
  }
  builder.add_from(rest, from);
  const Frames frames = builder.finish();
  if (const auto known = by_session_.find(std::string(session)); known != by_session_.end()) {
    const std::array<std::string_view, 1> way{known->second};
    if (clients_.send(way, frames, 0) == SendResult::sent) {
      return;
    }
  }
  look_around(now);
  kept_.push_back({.session = std::string(session), .frames = frames, .until = now + keep_time});
  if (restarted_) {
    for (const auto& identity : silent_) {
      send_once(kept_.back(), identity);
    }
  }
  kept_bytes_ += frames.total_bytes();
  while (kept_bytes_ > kept_bytes_max) {
    kept_bytes_ -= kept_.front().frames.total_bytes();
    kept_.pop_front();
  }
}

void ClientRoutes::send_once(Kept& kept, const std::string& identity) {
  const std::array<std::string_view, 1> way{identity};
  if (std::ranges::find(kept.sent_to, identity) == kept.sent_to.end() &&
      clients_.send(way, kept.frames, 0) == SendResult::sent) {
    kept.sent_to.push_back(identity);
  }
}

void ClientRoutes::look_around(TimePoint now) {
  while (!kept_.empty() && kept_.front().until <= now) {
    kept_bytes_ -= kept_.front().frames.total_bytes();
    kept_.pop_front();
  }
  for (auto& identity : clients_.take_introduced()) {
    if (restarted_) {
      for (auto& kept : kept_) {
        send_once(kept, identity);
      }
    }
    silent_.insert(std::move(identity));
  }
  if (silent_.size() > 2 * clients_.connection_count() + 64) {
    std::erase_if(silent_, [this](const auto& identity) { return !clients_.has_peer(identity); });
  }
}

void ClientRoutes::deliver_kept(const std::string& session, const std::string& identity) {
  std::erase_if(kept_, [&](Kept& kept) {
    if (kept.session != session) {
      return false;
    }
    send_once(kept, identity);
    kept_bytes_ -= kept.frames.total_bytes();
    return true;
  });
}

void ClientRoutes::forget_gone() {
  std::erase_if(spoken_, [this](const auto& entry) { return !clients_.has_peer(entry.first); });
  std::erase_if(by_session_,
                [this](const auto& entry) { return !clients_.has_peer(entry.second); });
}

}  // namespace ipf
