#pragma once

#include <string>
#include <vector>

namespace ipf::doctor {

enum class Verdict { ok, warn, fail };

/// The outcome of one check.
struct Finding {
  Verdict verdict{Verdict::ok};
  std::string what{};    ///< "descriptors", "port mux", "engine 3"
  std::string detail{};  ///< what was found; never a key
  std::string fix{};     ///< what to do; empty when there is nothing to do
  bool operator==(const Finding&) const = default;
};

using Findings = std::vector<Finding>;

}  // namespace ipf::doctor
