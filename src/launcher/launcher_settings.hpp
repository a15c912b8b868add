#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/result.hpp"
#include "launcher/launcher.hpp"

namespace ipf {

/// Reads a launcher's settings (LaunchOptions::settings_json). Each read() names one setting that
/// the launcher knows and leaves the default when it is missing or null; finish() tells the first
/// value of a wrong type, or the names nobody has read.
class LauncherSettings {
 public:
  LauncherSettings(std::string class_name, const std::string& json_text);

  void read(const char* name, std::string& out);
  void read(const char* name, bool& out);
  void read(const char* name, int& out);
  void read(const char* name, double& out);
  void read(const char* name, std::vector<std::string>& out);
  void read(const char* name, nlohmann::json& out);  ///< an object
  void read_any(const char* name, nlohmann::json& out);
  /// A text, or a number that becomes one: a time limit may be 30 or "0:30:00".
  void read_scalar(const char* name, std::string& out);

  /// What all launchers know: environment, work_dir, and the traits that their owner evaluates
  /// (how long to wait for a stop, how much output to show), of which only the type is checked.
  void read_common(LauncherRole role, LaunchOptions& options);

  [[nodiscard]] Result<void> finish() const;

 private:
  const nlohmann::json* find(const char* name);
  void wrong_type(const char* name, const char* wanted);

  std::string class_name_;
  nlohmann::json values_;
  std::vector<std::string> known_{};
  std::optional<Error> failure_{};
};

}  // namespace ipf
