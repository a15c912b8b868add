#include "core/log.hpp"

namespace ipf {

std::string printable(std::string_view text, std::size_t most) {
  std::string out;
  out.reserve(text.size() < most ? text.size() : most + 3);
  for (const char c : text) {
    if (out.size() == most) {
      out += "...";
      break;
    }
    const auto code = static_cast<unsigned char>(c);
    out += code < 0x20 || code >= 0x7f ? '?' : c;
  }
  return out;
}

}  // namespace ipf
