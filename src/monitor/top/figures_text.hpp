#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "monitor/top/figures.hpp"

namespace ipf::top {

/// The table, one string for each line; plain ASCII, whatever hosts and profiles are called.
///   rates   nothing at the first look: then they are shown as `-`
///   rows    the most engines that are shown; a last line counts the others
std::vector<std::string> table(const Snapshot& now,
                               const std::optional<Rates>& rates,
                               const std::string& title,
                               std::size_t rows);

/// The same as one line of JSON; docs/guide/cluster.md describes it.
std::string json_line(const Snapshot& now, const std::optional<Rates>& rates);

/// A look that failed, as such a line.
std::string json_failure(WallTime at, const std::string& text);

/// "950 B", "12.3 MiB": four digits at most.
std::string bytes_text(double bytes);

/// "1:02:03", with days in front if there are any.
std::string uptime_text(double seconds);

}  // namespace ipf::top
