#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace ipf {

/// An integer that cannot be mixed up with another kind of integer.
template <class Tag, class Rep = std::uint32_t>
struct Id {
  Rep value{};
  auto operator<=>(const Id&) const = default;
};

/// The number users see in `rc.ids`.
using EngineId = Id<struct EngineIdTag, std::int32_t>;

}  // namespace ipf

template <class Tag, class Rep>
struct std::hash<ipf::Id<Tag, Rep>> {
  std::size_t operator()(const ipf::Id<Tag, Rep>& id) const noexcept {
    return std::hash<Rep>{}(id.value);
  }
};
