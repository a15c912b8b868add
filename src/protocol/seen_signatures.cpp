#include "protocol/seen_signatures.hpp"

#include <bit>

#include "core/check.hpp"

namespace ipf {

namespace {

constexpr unsigned number_bits = 16;
constexpr std::uint64_t number_mask = (std::uint64_t{1} << number_bits) - 1;

/// Whether number a came before b; they wrap around.
bool before(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::int16_t>((a & number_mask) - (b & number_mask)) < 0;
}

}  // namespace

SeenSignatures::SeenSignatures(std::size_t sets)
    : mask_(sets - 1), sets_(std::make_unique<Set[]>(sets)) {  // NOLINT(modernize-avoid-c-arrays)
  IPF_CHECK(std::has_single_bit(sets));
}

bool SeenSignatures::insert(std::uint64_t key) {
  // The lower bits choose the set, the upper 48 are kept.
  Set& set = sets_[key & mask_];
  const std::uint64_t upper = key >> number_bits;
  const std::uint64_t tag = (upper == 0 ? 1 : upper) << number_bits;
  bool first = false;
  while (!try_insert(set, tag, first)) {
  }
  return first;
}

bool SeenSignatures::try_insert(Set& set, std::uint64_t tag, bool& first) {
  std::atomic<std::uint64_t>* oldest = nullptr;
  std::uint64_t oldest_value = 0;
  std::uint64_t newest = 0;
  bool any = false;
  for (auto& entry : set.entries) {
    const std::uint64_t value = entry.load(std::memory_order_relaxed);
    if (value == 0) {
      if (oldest == nullptr || oldest_value != 0) {
        oldest = &entry;
        oldest_value = 0;
      }
      continue;
    }
    if ((value & ~number_mask) == tag) {
      first = false;
      return true;
    }
    if (!any || before(newest, value)) {
      newest = value;
    }
    any = true;
    if (oldest == nullptr || (oldest_value != 0 && before(value, oldest_value))) {
      oldest = &entry;
      oldest_value = value;
    }
  }
  first = true;
  IPF_CHECK(oldest != nullptr);
  return oldest->compare_exchange_strong(oldest_value, tag | ((newest + 1) & number_mask),
                                         std::memory_order_relaxed);
}

}  // namespace ipf
