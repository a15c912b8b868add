#include "launcher/launcher_settings.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/joined.hpp"
#include "core/log.hpp"

namespace ipf {

using nlohmann::json;

LauncherSettings::LauncherSettings(std::string class_name, const std::string& json_text)
    : class_name_(std::move(class_name)),
      values_(json_text.empty() ? json::object() : json::parse(json_text, nullptr, false)) {
  if (!values_.is_object()) {
    failure_ = Error{ErrorCode::invalid_argument,
                     "the settings of " + class_name_ + " are no JSON object"};
    values_ = json::object();
  }
}

const json* LauncherSettings::find(const char* name) {
  known_.emplace_back(name);
  const auto found = values_.find(name);
  return found == values_.end() || found->is_null() ? nullptr : &*found;
}

void LauncherSettings::wrong_type(const char* name, const char* wanted) {
  if (!failure_) {
    failure_ =
        Error{ErrorCode::invalid_argument,
              class_name_ + "." + name + " must be " + wanted + ", not " +
                  printable(values_[name].dump(-1, ' ', false, json::error_handler_t::replace))};
  }
}

void LauncherSettings::read(const char* name, std::string& out) {
  if (const json* value = find(name); value != nullptr) {
    if (!value->is_string()) {
      return wrong_type(name, "a text");
    }
    out = value->get<std::string>();
  }
}

void LauncherSettings::read(const char* name, bool& out) {
  if (const json* value = find(name); value != nullptr) {
    if (!value->is_boolean()) {
      return wrong_type(name, "true or false");
    }
    out = value->get<bool>();
  }
}

void LauncherSettings::read(const char* name, int& out) {
  if (const json* value = find(name); value != nullptr) {
    if (!value->is_number_integer() || value->get<std::int64_t>() < 0 ||
        value->get<std::int64_t>() > std::numeric_limits<int>::max()) {
      return wrong_type(name, "a number that is not negative");
    }
    out = value->get<int>();
  }
}

void LauncherSettings::read(const char* name, double& out) {
  if (const json* value = find(name); value != nullptr) {
    if (!value->is_number() || value->get<double>() < 0) {
      return wrong_type(name, "a number that is not negative");
    }
    out = value->get<double>();
  }
}

void LauncherSettings::read(const char* name, std::vector<std::string>& out) {
  if (const json* value = find(name); value != nullptr) {
    if (!value->is_array() ||
        !std::ranges::all_of(*value, [](const json& item) { return item.is_string(); })) {
      return wrong_type(name, "a list of texts");
    }
    out = value->get<std::vector<std::string>>();
  }
}

void LauncherSettings::read(const char* name, json& out) {
  if (const json* value = find(name); value != nullptr) {
    if (!value->is_object()) {
      return wrong_type(name, "a dictionary");
    }
    out = *value;
  }
}

void LauncherSettings::read_any(const char* name, json& out) {
  if (const json* value = find(name); value != nullptr) {
    out = *value;
  }
}

void LauncherSettings::read_scalar(const char* name, std::string& out) {
  if (const json* value = find(name); value != nullptr) {
    if (value->is_number()) {
      out = value->dump();
    } else if (value->is_string()) {
      out = value->get<std::string>();
    } else {
      wrong_type(name, "a text or a number");
    }
  }
}

void LauncherSettings::read_common(LauncherRole role, LaunchOptions& options) {
  std::string work_dir = options.work_dir.string();
  read("work_dir", work_dir);
  options.work_dir = work_dir;
  json environment = json::object();
  read("environment", environment);
  for (const auto& [name, value] : environment.items()) {
    if (name.empty() || name.find_first_of(std::string{"=\0", 2}) != std::string::npos) {
      return wrong_type("environment", "a dictionary whose keys are names of variables");
    }
    if (value.is_null()) {
      options.environment.emplace_back(name, std::nullopt);
    } else if (value.is_primitive()) {
      options.environment.emplace_back(name,
                                       value.is_string() ? value.get<std::string>() : value.dump());
    } else {
      return wrong_type("environment", "a dictionary of texts");
    }
  }
  if (role == LauncherRole::controller) {
    read("controller_cmd", options.command);
    read("controller_args", options.args);
    double timeout = 0;
    read("connection_info_timeout", timeout);
  } else {
    read("engine_cmd", options.command);
    read("engine_args", options.args);
  }
  double ignored = 0;  // these are for the owner, which waits and shows
  for (const char* const name :
       {"output_limit", "stop_timeout", "poll_seconds", "stop_seconds_until_kill"}) {
    read(name, ignored);
  }
}

Result<void> LauncherSettings::finish() const {
  if (failure_) {
    return unexpected(*failure_);
  }
  for (const auto& [name, value] : values_.items()) {
    if (std::ranges::find(known_, name) == known_.end()) {
      std::vector<std::string> sorted = known_;
      std::ranges::sort(sorted);
      return unexpected(
          ErrorCode::invalid_argument,
          class_name_ + " has no setting '" + printable(name) + "'; known are: " + joined(sorted));
    }
  }
  return {};
}

}  // namespace ipf
