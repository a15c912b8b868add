#include "hub/engine_table.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/check.hpp"

namespace ipf {

bool EngineTable::is_free(EngineId id) const {
  return !by_id_.contains(id) && !pending_by_id_.contains(id);
}

std::optional<EngineId> EngineTable::choose_id(const std::string& uuid,
                                               std::optional<EngineId> wanted) {
  const auto lost = std::ranges::find(lost_, uuid, &Engine::uuid);
  if (lost != lost_.end()) {
    const EngineId old = lost->id;
    lost_.erase(lost);
    if (is_free(old)) {
      return old;
    }
  }
  if (wanted && wanted->value >= 0 && *wanted <= id_max && is_free(*wanted)) {
    next_id_ = std::max(next_id_, EngineId{wanted->value + 1});
    return wanted;
  }
  EngineId chosen = next_id_;
  if (options_.reuse_ids) {
    chosen = EngineId{0};
    while (!is_free(chosen)) {
      ++chosen.value;
    }
  }
  if (chosen > id_max) {
    return std::nullopt;
  }
  next_id_ = std::max(next_id_, EngineId{chosen.value + 1});
  return chosen;
}

Result<EngineId> EngineTable::begin(const std::string& uuid,
                                    std::optional<EngineId> wanted,
                                    TimePoint now) {
  if (by_uuid_.contains(uuid) || pending_by_uuid_.contains(uuid)) {
    return unexpected(ErrorCode::invalid_argument, "uuid '" + uuid + "' in use");
  }
  if (pending_.size() >= options_.pending_max) {
    return unexpected(ErrorCode::unavailable, "too many registrations at once; the limit is " +
                                                  std::to_string(options_.pending_max));
  }
  if (by_id_.size() + pending_.size() >= options_.active_max) {
    return unexpected(ErrorCode::unavailable,
                      "too many engines; the limit is " + std::to_string(options_.active_max));
  }
  const auto id = choose_id(uuid, wanted);
  if (!id) {
    return unexpected(ErrorCode::unavailable, "no engine number is left");
  }
  pending_.push_back(
      {.id = *id, .uuid = uuid, .since = now, .deadline = now + options_.registration_timeout});
  pending_by_uuid_.emplace(uuid, std::prev(pending_.end()));
  pending_by_id_.emplace(*id, std::prev(pending_.end()));
  return *id;
}

EngineTable::Pending EngineTable::take(PendingList::iterator entry) {
  Pending out = std::move(*entry);
  pending_by_uuid_.erase(out.uuid);
  pending_by_id_.erase(out.id);
  pending_.erase(entry);
  return out;
}

std::optional<EngineTable::Pending> EngineTable::complete(std::string_view uuid) {
  auto done = cancel(uuid);
  if (done) {
    by_id_.emplace(done->id, done->uuid);
    by_uuid_.emplace(done->uuid, done->id);
  }
  return done;
}

std::optional<EngineTable::Pending> EngineTable::cancel(EngineId id) {
  const auto found = pending_by_id_.find(id);
  if (found == pending_by_id_.end()) {
    return std::nullopt;
  }
  return take(found->second);
}

std::optional<EngineTable::Pending> EngineTable::cancel(std::string_view uuid) {
  const auto found = pending_by_uuid_.find(std::string(uuid));
  if (found == pending_by_uuid_.end()) {
    return std::nullopt;
  }
  return take(found->second);
}

std::vector<EngineTable::Pending> EngineTable::take_expired(TimePoint now) {
  std::vector<Pending> expired;
  while (!pending_.empty() && pending_.front().deadline <= now) {
    expired.push_back(take(pending_.begin()));
  }
  return expired;
}

std::optional<EngineTable::Engine> EngineTable::remove(EngineId id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) {
    return std::nullopt;
  }
  Engine gone{.id = id, .uuid = std::move(found->second)};
  by_id_.erase(found);
  by_uuid_.erase(gone.uuid);
  lost_.push_back(gone);
  while (lost_.size() > options_.lost_max) {
    lost_.pop_front();
  }
  return gone;
}

bool EngineTable::restore(const Engine& engine) {
  if (engine.id.value < 0 || engine.id > id_max || engine.uuid.empty() || !is_free(engine.id) ||
      by_uuid_.contains(engine.uuid) || pending_by_uuid_.contains(engine.uuid) ||
      by_id_.size() >= options_.active_max) {
    return false;
  }
  by_id_.emplace(engine.id, engine.uuid);
  by_uuid_.emplace(engine.uuid, engine.id);
  raise_next_id(EngineId{engine.id.value + 1});
  return true;
}

void EngineTable::raise_next_id(EngineId next) {
  if (next <= EngineId{id_max.value + 1}) {
    next_id_ = std::max(next_id_, next);
  }
}

std::optional<EngineTable::Engine> EngineTable::find(EngineId id) const {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) {
    return std::nullopt;
  }
  return Engine{.id = id, .uuid = found->second};
}

std::optional<EngineTable::Engine> EngineTable::find(std::string_view uuid) const {
  const auto found = by_uuid_.find(std::string(uuid));
  if (found == by_uuid_.end()) {
    return std::nullopt;
  }
  return Engine{.id = found->second, .uuid = found->first};
}

std::optional<EngineId> EngineTable::pending_id(const std::string& uuid) const {
  const auto found = pending_by_uuid_.find(uuid);
  return found == pending_by_uuid_.end() ? std::nullopt : std::optional(found->second->id);
}

TimePoint EngineTable::next_deadline() const {
  return pending_.empty() ? TimePoint::never() : pending_.front().deadline;
}

std::optional<EngineId> EngineTable::lost_id(std::string_view uuid) const {
  for (const auto& engine : lost_) {
    if (engine.uuid == uuid) {
      return engine.id;
    }
  }
  return std::nullopt;
}

void EngineTable::check_invariants() const {
  IPF_CHECK(by_id_.size() == by_uuid_.size());
  IPF_CHECK(pending_.size() == pending_by_uuid_.size());
  IPF_CHECK(pending_.size() == pending_by_id_.size());
  IPF_CHECK(pending_.size() <= options_.pending_max);
  IPF_CHECK(by_id_.size() <= options_.active_max);
  IPF_CHECK(lost_.size() <= options_.lost_max);
  for (const auto& [id, uuid] : by_id_) {
    const auto found = by_uuid_.find(uuid);
    IPF_CHECK(found != by_uuid_.end() && found->second == id);
    IPF_CHECK(id.value >= 0 && id < next_id_);
    IPF_CHECK(!pending_by_id_.contains(id) && !pending_by_uuid_.contains(uuid));
  }
  TimePoint last{};
  for (const auto& entry : pending_) {
    IPF_CHECK(entry.id.value >= 0 && entry.id < next_id_);
    IPF_CHECK(pending_by_uuid_.contains(entry.uuid) && pending_by_id_.contains(entry.id));
    IPF_CHECK(entry.deadline >= last);
    last = entry.deadline;
  }
  for (const auto& engine : lost_) {
    IPF_CHECK(!by_uuid_.contains(engine.uuid) && !pending_by_uuid_.contains(engine.uuid));
  }
}

}  // namespace ipf
