#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "core/log.hpp"
#include "core/result.hpp"

namespace ipf {

/// True if $IPYFLEET_LOG_FORMAT is "json": the form of the logs where nobody chose another.
bool json_logs_wanted();

struct LogOptions {
  std::string name{};  ///< what stands in brackets, e.g. "IPController"
  LogLevel level{LogLevel::info};
  std::string file{};  ///< a file to append to (0600) beside stderr; empty: stderr only
  std::size_t file_bytes_max{10U << 20U};  ///< then x.log becomes x.1.log, and that x.2.log
  bool json{json_logs_wanted()};  ///< a JSON object in each line: time, name, pid, level, text
};

/// `2026-11-21 01:40:33.475 [IPController] text`; from warnings on the level stands before the
/// text. Fails when the file cannot be opened.
Result<std::unique_ptr<Log>> make_log(const LogOptions& options);

/// debug, info, warn(ing), error, critical or Python's 10, 20, 30, 40, 50.
Result<LogLevel> parse_log_level(const std::string& text);

}  // namespace ipf
