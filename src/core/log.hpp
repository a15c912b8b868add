#pragma once

#include <string>
#include <string_view>

namespace ipf {

enum class LogLevel { debug, info, warning, error };

/// Where a log line goes. Layers below the reactors never log; they return notes or Errors.
/// Implementations are thread-safe and never throw.
class Log {
 public:
  Log() = default;
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  virtual ~Log() = default;
  virtual void write(LogLevel level, std::string_view text) = 0;
  [[nodiscard]] virtual bool enabled(LogLevel level) const = 0;

  void debug(std::string_view text) { write(LogLevel::debug, text); }
  void info(std::string_view text) { write(LogLevel::info, text); }
  void warning(std::string_view text) { write(LogLevel::warning, text); }
  void error(std::string_view text) { write(LogLevel::error, text); }
};

/// For libraries inside other programs: their user learns what matters through errors.
class NoLog final : public Log {
 public:
  void write(LogLevel /*level*/, std::string_view /*text*/) override {}
  [[nodiscard]] bool enabled(LogLevel /*level*/) const override { return false; }
};

/// Makes untrusted text safe for one log line: control characters become `?`, long text is cut.
std::string printable(std::string_view text, std::size_t most = 120);

}  // namespace ipf
