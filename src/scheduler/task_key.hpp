#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ipf {

/// 64 bits that stand for a msg_id or an engine's uuid inside one scheduler.
using TaskKey = std::uint64_t;
using EngineKey = std::uint64_t;

/// MurmurHash3's 64-bit mixing steps (Appleby, public domain) over whole words. The seed is random
/// in each controller, so that nobody outside can choose names that collide.
inline std::uint64_t key_of(std::string_view bytes, std::uint64_t seed) {
  constexpr std::uint64_t c1 = 0x87C37B91114253D5ULL;
  constexpr std::uint64_t c2 = 0x4CF5AD432745937FULL;
  std::uint64_t hash = seed ^ (bytes.size() * c1);
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const std::size_t taken = bytes.size() < sizeof(word) ? bytes.size() : sizeof(word);
    std::memcpy(&word, bytes.data(), taken);
    bytes.remove_prefix(taken);
    hash ^= std::rotl(word * c1, 31) * c2;
    hash = std::rotl(hash, 27) * 5 + 0x52DCE729ULL;
  }
  hash = (hash ^ (hash >> 33U)) * 0xFF51AFD7ED558CCDULL;
  hash = (hash ^ (hash >> 33U)) * 0xC4CEB9FE1A85EC53ULL;
  return hash ^ (hash >> 33U);
}

}  // namespace ipf
