#pragma once

#include <string>
#include <string_view>

namespace ipf {

/// "a, b, c": what there is, for an error message.
template <class Range>
std::string joined(const Range& texts) {
  std::string out;
  for (const std::string_view text : texts) {
    if (!out.empty()) {
      out += ", ";
    }
    out += text;
  }
  return out;
}

}  // namespace ipf
