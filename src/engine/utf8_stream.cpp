#include "engine/utf8_stream.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace ipf::engine {

namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

/// What begins at text[0]: a character of `size` bytes, a broken one (size 1), or a cut one (size
/// 0).
struct Character {
  std::size_t size{};
  bool valid{};
};

Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) {
    return {.size = 1, .valid = true};
  }
  const std::size_t size = lead >= 0xC2 && lead < 0xE0   ? 2
                           : lead >= 0xE0 && lead < 0xF0 ? 3
                           : lead >= 0xF0 && lead < 0xF5 ? 4
                                                         : 0;
  if (size == 0) {
    return {.size = 1, .valid = false};
  }
  // The second byte's range excludes overlong forms, surrogates and code points behind U+10FFFF.
  const std::uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const std::uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < std::min(size, text.size()); ++i) {
    if (byte(i) < (i == 1 ? low : 0x80) || byte(i) > (i == 1 ? high : 0xBF)) {
      return {.size = 1, .valid = false};
    }
  }
  return text.size() < size ? Character{} : Character{.size = size, .valid = true};
}

}  // namespace

void Utf8Stream::add(std::string_view bytes, std::string& out) {
  std::string joined;
  if (!cut_.empty()) {
    joined = cut_;
    joined += bytes;
    bytes = joined;
    cut_.clear();
  }
  while (!bytes.empty()) {
    const Character next = first_character(bytes);
    if (next.size == 0) {
      cut_ = bytes;
      return;
    }
    out += next.valid ? bytes.substr(0, next.size) : replacement;
    bytes.remove_prefix(next.size);
  }
}

void Utf8Stream::finish(std::string& out) {
  if (!cut_.empty()) {
    out += replacement;
    cut_.clear();
  }
}

}  // namespace ipf::engine
