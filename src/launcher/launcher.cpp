#include "launcher/launcher.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "core/log.hpp"
#include "launcher/local.hpp"

namespace ipf {

namespace {

struct Backend {
  std::string_view name{};
  std::unique_ptr<ControllerLauncher> (*make_controller)(LaunchOptions){};
  std::unique_ptr<EngineSetLauncher> (*make_engines)(LaunchOptions){};
};

template <class Base, class Class>
std::unique_ptr<Base> make(LaunchOptions options) {
  return std::make_unique<Class>(std::move(options));
}

constexpr std::array backends{
    Backend{"local", &make<ControllerLauncher, LocalControllerLauncher>,
            &make<EngineSetLauncher, LocalEngineSetLauncher>},
};

/// "pkg.module.LocalEngineSetLauncher" and "Local" both become "local".
std::string short_name(std::string_view name) {
  if (const std::size_t dot = name.find_last_of(".:"); dot != std::string_view::npos) {
    name.remove_prefix(dot + 1);
  }
  std::string out{name};
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const std::string_view suffix : {"launcher", "controller", "engineset", "engine"}) {
    if (out.size() > suffix.size() && out.ends_with(suffix)) {
      out.resize(out.size() - suffix.size());
    }
  }
  return out;
}

Result<const Backend*> find_backend(std::string_view name, const char* role) {
  const auto found = std::ranges::find(backends, short_name(name), &Backend::name);
  if (found != backends.end()) {
    return &*found;
  }
  std::string known;
  for (const Backend& backend : backends) {
    known += (known.empty() ? "" : ", ") + std::string{backend.name};
  }
  return unexpected(ErrorCode::invalid_argument, "unknown " + std::string{role} + " launcher '" +
                                                     printable(name) + "'; known are: " + known);
}

}  // namespace

Result<std::unique_ptr<ControllerLauncher>> make_controller_launcher(std::string_view name,
                                                                     LaunchOptions options) {
  const auto backend = find_backend(name, "controller");
  if (!backend) {
    return unexpected(backend.error());
  }
  return (*backend)->make_controller(std::move(options));
}

Result<std::unique_ptr<EngineSetLauncher>> make_engine_set_launcher(std::string_view name,
                                                                    LaunchOptions options) {
  const auto backend = find_backend(name, "engine");
  if (!backend) {
    return unexpected(backend.error());
  }
  return (*backend)->make_engines(std::move(options));
}

std::vector<EnvironmentChange> cluster_environment(const ProfilePaths& paths) {
  // An ipcluster started inside an engine inherits that engine's connection: it must not leak into
  // the new cluster, where it would beat the connection file.
  return {{"IPP_CLUSTER_ID", paths.cluster_id},
          {"IPP_PROFILE_DIR", paths.dir.string()},
          {"IPP_CONNECTION_INFO", std::nullopt}};
}

}  // namespace ipf
