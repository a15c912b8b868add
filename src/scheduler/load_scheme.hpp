#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "core/result.hpp"
#include "core/rng.hpp"

namespace ipf {

/// Place of an engine in the scheduler's table; reused after the engine left.
using EngineSlot = std::uint32_t;

/// How the next engine is chosen (protocol.md 5.2).
enum class SchemeName { leastload, lru, plainrandom, twobin, weighted, pure, none };

Result<SchemeName> parse_scheme(std::string_view text);
std::string_view scheme_text(SchemeName scheme);

/// What a choice looks at. `stamp` is the number of the assignment that the engine got last, so a
/// smaller stamp means "not used for longer"; each engine has a different one.
struct EngineLoad {
  EngineSlot slot{};
  std::uint32_t load{};  ///< unfinished tasks on the engine
  std::uint64_t stamp{};
};

/// The engines that may take one more task, indexed for one scheme, so that a choice costs O(1)
/// (plainrandom, twobin), O(log engines) (leastload, lru) or O(distinct loads) (weighted). One
/// thread. An engine is in it at most once.
class LoadScheme {
 public:
  static std::unique_ptr<LoadScheme> create(SchemeName scheme);

  LoadScheme() = default;
  LoadScheme(const LoadScheme&) = delete;
  LoadScheme& operator=(const LoadScheme&) = delete;
  virtual ~LoadScheme() = default;

  virtual void add(const EngineLoad& engine) = 0;
  /// `engine` exactly as it was added.
  virtual void remove(const EngineLoad& engine) = 0;
  [[nodiscard]] virtual std::size_t size() const = 0;
  /// The scheme's choice among all; nothing when empty.
  [[nodiscard]] virtual std::optional<EngineSlot> pick(Rng& rng) const = 0;
};

/// The scheme's choice among a few candidates, for tasks that may run on some engines only.
std::optional<EngineSlot> pick_among(SchemeName scheme,
                                     std::span<const EngineLoad> candidates,
                                     Rng& rng);

}  // namespace ipf
