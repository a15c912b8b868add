#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace ipf {

/// Figures of one thread that others may read at any time: a struct of nothing but std::uint64_t.
/// Each figure is exact; two of them may be of different moments. One thread writes, without lock
/// or fence, so once a round costs a few nanoseconds.
template <class Figures>
class FigureBoard {
 public:
  void write(const Figures& figures) {
    const auto values = std::bit_cast<Values>(figures);
    for (std::size_t i = 0; i < count; ++i) {
      values_[i].store(values[i], std::memory_order_relaxed);
    }
  }
  [[nodiscard]] Figures read() const {
    Values values{};
    for (std::size_t i = 0; i < count; ++i) {
      values[i] = values_[i].load(std::memory_order_relaxed);
    }
    return std::bit_cast<Figures>(values);
  }

 private:
  static_assert(std::is_trivially_copyable_v<Figures>);
  static_assert(sizeof(Figures) % sizeof(std::uint64_t) == 0);
  static constexpr std::size_t count = sizeof(Figures) / sizeof(std::uint64_t);
  using Values = std::array<std::uint64_t, count>;

  std::array<std::atomic<std::uint64_t>, count> values_{};
};

}  // namespace ipf
