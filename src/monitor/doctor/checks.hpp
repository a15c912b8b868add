#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "monitor/doctor/facts.hpp"
#include "monitor/doctor/finding.hpp"

namespace ipf::doctor {

/// Judges a part of the facts; pure. Adds nothing when there is nothing to judge.
using Check = void (*)(const Facts& facts, Findings& out);

/// In the order in which an operator reads them: what explains the others comes first.
std::span<const Check> host_checks();
std::span<const Check> cluster_checks();
std::span<const Check> engine_checks();

/// All of them.
Findings examine(const Facts& facts);

/// "0.4 ms", "12 ms", "1.5 s"
std::string duration_text(Duration duration);

/// How many engines the cluster has or will have, at least 1.
std::uint64_t engines_expected(const Facts& facts);

/// Warns when a clock differs by more than five seconds and what the measurement leaves open.
///   whose  "the controller's", "the clock of engine 3"
Finding clock_finding(const std::string& what,
                      const std::string& whose,
                      double ahead_seconds,
                      double error_seconds);

/// Judges room on a disk, of this host or an engine's.
Finding disk_finding(const DiskFacts& disk, const std::string& what);

}  // namespace ipf::doctor
