#include "scheduler/load_scheme.hpp"

#include <array>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/check.hpp"

namespace ipf {

namespace {

constexpr std::array<std::pair<SchemeName, std::string_view>, 7> names{{
    {SchemeName::leastload, "leastload"},
    {SchemeName::lru, "lru"},
    {SchemeName::plainrandom, "plainrandom"},
    {SchemeName::twobin, "twobin"},
    {SchemeName::weighted, "weighted"},
    {SchemeName::pure, "pure"},
    {SchemeName::none, "none"},
}};

/// The reference draws with probability 1 / (1e-6 + load).
double weight_of(std::uint32_t load) {
  return 1.0 / (1e-6 + load);
}

/// leastload: smallest load, then longest unused. lru and pure: longest unused.
class OrderedScheme final : public LoadScheme {
 public:
  explicit OrderedScheme(bool by_load) : by_load_(by_load) {}
  void add(const EngineLoad& engine) override { IPF_CHECK(order_.insert(key(engine)).second); }
  void remove(const EngineLoad& engine) override { IPF_CHECK(order_.erase(key(engine)) == 1); }
  [[nodiscard]] std::size_t size() const override { return order_.size(); }
  [[nodiscard]] std::optional<EngineSlot> pick(Rng& /*rng*/) const override {
    return order_.empty() ? std::nullopt : std::optional(std::get<2>(*order_.begin()));
  }

 private:
  using Key = std::tuple<std::uint32_t, std::uint64_t, EngineSlot>;
  [[nodiscard]] Key key(const EngineLoad& engine) const {
    return {by_load_ ? engine.load : 0, engine.stamp, engine.slot};
  }
  bool by_load_;
  std::set<Key> order_;
};

/// plainrandom: uniform. twobin: two uniform draws, the longer unused of both.
class DenseScheme final : public LoadScheme {
 public:
  explicit DenseScheme(bool two_draws) : two_draws_(two_draws) {}
  void add(const EngineLoad& engine) override {
    IPF_CHECK(places_.emplace(engine.slot, engines_.size()).second);
    engines_.push_back(engine);
  }
  void remove(const EngineLoad& engine) override {
    const auto found = places_.find(engine.slot);
    IPF_CHECK(found != places_.end());
    const std::size_t place = found->second;
    places_.erase(found);
    if (place + 1 != engines_.size()) {
      engines_[place] = engines_.back();
      places_[engines_[place].slot] = place;
    }
    engines_.pop_back();
  }
  [[nodiscard]] std::size_t size() const override { return engines_.size(); }
  [[nodiscard]] std::optional<EngineSlot> pick(Rng& rng) const override {
    if (engines_.empty()) {
      return std::nullopt;
    }
    const EngineLoad& first = engines_[rng.below(engines_.size())];
    if (!two_draws_) {
      return first.slot;
    }
    const EngineLoad& second = engines_[rng.below(engines_.size())];
    return second.stamp < first.stamp ? second.slot : first.slot;
  }

 private:
  bool two_draws_;
  std::vector<EngineLoad> engines_;
  std::unordered_map<EngineSlot, std::size_t> places_;
};

/// weighted: two draws with probability ~ 1 / load, the less loaded of both.
class WeightedScheme final : public LoadScheme {
 public:
  void add(const EngineLoad& engine) override {
    auto& bucket = buckets_[engine.load];
    IPF_CHECK(places_.emplace(engine.slot, bucket.size()).second);
    bucket.push_back(engine.slot);
    ++size_;
  }
  void remove(const EngineLoad& engine) override {
    const auto bucket = buckets_.find(engine.load);
    const auto place = places_.find(engine.slot);
    IPF_CHECK(bucket != buckets_.end() && place != places_.end());
    auto& slots = bucket->second;
    slots[place->second] = slots.back();
    places_[slots.back()] = place->second;
    slots.pop_back();
    places_.erase(engine.slot);
    if (slots.empty()) {
      buckets_.erase(bucket);
    }
    --size_;
  }
  [[nodiscard]] std::size_t size() const override { return size_; }
  [[nodiscard]] std::optional<EngineSlot> pick(Rng& rng) const override {
    if (size_ == 0) {
      return std::nullopt;
    }
    const auto first = draw(rng);
    const auto second = draw(rng);
    return second.first < first.first ? second.second : first.second;
  }

 private:
  [[nodiscard]] std::pair<std::uint32_t, EngineSlot> draw(Rng& rng) const {
    double total = 0;
    for (const auto& [load, slots] : buckets_) {
      total += weight_of(load) * static_cast<double>(slots.size());
    }
    double point = rng.unit() * total;
    auto chosen = buckets_.begin();
    for (auto at = buckets_.begin(); at != buckets_.end(); ++at) {
      chosen = at;
      point -= weight_of(at->first) * static_cast<double>(at->second.size());
      if (point < 0) {
        break;
      }
    }
    return {chosen->first, chosen->second[rng.below(chosen->second.size())]};
  }
  std::map<std::uint32_t, std::vector<EngineSlot>> buckets_;
  std::unordered_map<EngineSlot, std::size_t> places_;
  std::size_t size_{};
};

}  // namespace

Result<SchemeName> parse_scheme(std::string_view text) {
  std::string known;
  for (const auto& [scheme, name] : names) {
    if (name == text) {
      return scheme;
    }
    known += known.empty() ? "" : ", ";
    known += name;
  }
  return unexpected(ErrorCode::invalid_argument,
                    "scheme '" + std::string(text) + "' is none of " + known);
}

std::string_view scheme_text(SchemeName scheme) {
  for (const auto& [known, name] : names) {
    if (known == scheme) {
      return name;
    }
  }
  return "none";
}

std::unique_ptr<LoadScheme> LoadScheme::create(SchemeName scheme) {
  switch (scheme) {
    case SchemeName::plainrandom:
    case SchemeName::twobin:
      return std::make_unique<DenseScheme>(scheme == SchemeName::twobin);
    case SchemeName::weighted:
      return std::make_unique<WeightedScheme>();
    case SchemeName::leastload:
    case SchemeName::lru:
    case SchemeName::pure:
    case SchemeName::none:
      break;
  }
  return std::make_unique<OrderedScheme>(scheme == SchemeName::leastload);
}

std::optional<EngineSlot> pick_among(SchemeName scheme,
                                     std::span<const EngineLoad> candidates,
                                     Rng& rng) {
  if (candidates.size() < 2) {
    return candidates.empty() ? std::nullopt : std::optional(candidates.front().slot);
  }
  const auto index = LoadScheme::create(scheme);
  for (const auto& candidate : candidates) {
    index->add(candidate);
  }
  return index->pick(rng);
}

}  // namespace ipf
