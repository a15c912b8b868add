#include "net/log_spdlog.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <spdlog/logger.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "core/text.hpp"

namespace ipf {

namespace {

constexpr std::array json_names{"debug", "info", "warning", "error"};
constexpr std::size_t files_kept = 2;

/// A JSON string with its quotes; bytes that are no UTF-8 are replaced.
std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

class SpdLog final : public Log {
 public:
  SpdLog(const LogOptions& options, std::vector<spdlog::sink_ptr> sinks)
      : level_(options.level),
        json_(options.json),
        logger_(options.name, sinks.begin(), sinks.end()) {
    logger_.set_pattern(json_ ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","name":"%n","pid":%P,%v})"
                              : "%Y-%m-%d %H:%M:%S.%e [%n] %v");
    logger_.set_level(spdlog::level::trace);
    logger_.flush_on(spdlog::level::trace);
    logger_.set_error_handler([](const std::string&) {});  // a full disk must not end a controller
  }
  void write(LogLevel level, std::string_view text) override {
    if (!enabled(level)) {
      return;
    }
    if (json_) {
      logger_.info(R"("level":"{}","text":{})", json_names[static_cast<std::size_t>(level)],
                   json_text(text));
    } else if (level >= LogLevel::warning) {
      logger_.info("{} | {}", level == LogLevel::warning ? "WARNING" : "ERROR", text);
    } else {
      logger_.info("{}", text);
    }
  }
  [[nodiscard]] bool enabled(LogLevel level) const override { return level >= level_; }

 private:
  LogLevel level_;
  bool json_;
  spdlog::logger logger_;
};

}  // namespace

bool json_logs_wanted() {
  const char* const format = std::getenv("IPYFLEET_LOG_FORMAT");  // NOLINT(concurrency-mt-unsafe)
  return format != nullptr && std::string_view(format) == "json";
}

Result<std::unique_ptr<Log>> make_log(const LogOptions& options) {
  std::vector<spdlog::sink_ptr> sinks{std::make_shared<spdlog::sinks::stderr_sink_mt>()};
  if (!options.file.empty()) {
    const int fd =
        open(options.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
      return unexpected(ErrorCode::io,
                        "cannot open log file " + options.file + ": " + errno_text(errno));
    }
    close(fd);
    spdlog::file_event_handlers handlers;
    handlers.after_open = [](const spdlog::filename_t& /*name*/, std::FILE* opened) {
      fchmod(fileno(opened), 0600);  // also of those that rotation makes
    };
    sinks.push_back(std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
        options.file, options.file_bytes_max, files_kept, false, handlers));
  }
  return std::unique_ptr<Log>(std::make_unique<SpdLog>(options, std::move(sinks)));
}

Result<LogLevel> parse_log_level(const std::string& text) {
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  static const std::vector<std::pair<std::vector<std::string>, LogLevel>> names{
      {{"0", "10", "debug"}, LogLevel::debug},
      {{"20", "info"}, LogLevel::info},
      {{"30", "warn", "warning"}, LogLevel::warning},
      {{"40", "50", "error", "critical"}, LogLevel::error},
  };
  for (const auto& [known, level] : names) {
    if (std::find(known.begin(), known.end(), lower) != known.end()) {
      return level;
    }
  }
  return unexpected(ErrorCode::invalid_argument,
                    "log level '" + printable(text) + "' is none of debug, info, warning, error");
}

}  // namespace ipf
