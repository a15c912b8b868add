#include "core/profile.hpp"

#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.hpp"
#include "core/text.hpp"

namespace ipf {

namespace {

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): read once at start
  return value == nullptr ? "" : value;
}

bool safe_name(std::string_view name) {
  if (name.size() > 200 || (!name.empty() && name[0] == '.')) {
    return false;
  }
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || c == '.';
    if (!plain) {
      return false;
    }
  }
  return true;
}

Result<void> make_private_dir(const std::filesystem::path& dir) {
  if (mkdir(dir.c_str(), 0700) == 0) {
    return {};
  }
  if (errno != EEXIST) {
    return unexpected(ErrorCode::io,
                      "cannot create directory " + dir.string() + ": " + errno_text(errno));
  }
  struct stat info{};
  if (stat(dir.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return unexpected(ErrorCode::io, dir.string() + " exists and is no directory");
  }
  if (info.st_uid != geteuid()) {
    return unexpected(ErrorCode::permission,
                      "directory " + dir.string() + " belongs to another user; use --profile-dir");
  }
  return {};
}

}  // namespace

ProfileOptions with_environment(ProfileOptions options) {
  if (options.profile_dir.empty() && options.profile.empty()) {
    options.profile_dir = from_environment("IPP_PROFILE_DIR");
  }
  if (options.cluster_id.empty()) {
    options.cluster_id = from_environment("IPP_CLUSTER_ID");
  }
  if (options.ipython_dir.empty()) {
    options.ipython_dir = from_environment("IPYTHONDIR");
  }
  if (options.ipython_dir.empty()) {
    const std::string home = from_environment("HOME");
    options.ipython_dir = home.empty() ? "" : home + "/.ipython";
  }
  return options;
}

Result<ProfilePaths> locate_profile(const ProfileOptions& options) {
  if (!safe_name(options.cluster_id)) {
    return unexpected(ErrorCode::invalid_argument,
                      "cluster id '" + printable(options.cluster_id) +
                          "' is not allowed: use letters, digits, '_', '-' and '.'");
  }
  ProfilePaths paths{.dir = {}, .cluster_id = options.cluster_id};
  if (!options.profile_dir.empty()) {
    paths.dir = std::filesystem::absolute(options.profile_dir).lexically_normal();
    if (!paths.dir.has_filename()) {  // "dir/": its parent would be the directory itself
      paths.dir = paths.dir.parent_path();
    }
    return paths;
  }
  const std::string profile = options.profile.empty() ? "default" : options.profile;
  if (!safe_name(profile)) {
    return unexpected(ErrorCode::invalid_argument,
                      "profile '" + printable(profile) +
                          "' is not allowed: use letters, digits, '_', '-' and '.'");
  }
  if (options.ipython_dir.empty()) {
    return unexpected(ErrorCode::not_found,
                      "neither HOME nor IPYTHONDIR is set; use --profile-dir");
  }
  paths.dir =
      std::filesystem::absolute(options.ipython_dir).lexically_normal() / ("profile_" + profile);
  return paths;
}

Result<void> make_profile(const ProfilePaths& paths) {
  std::error_code failure;
  std::filesystem::create_directories(paths.dir.parent_path(), failure);
  for (const auto& dir : {paths.dir, paths.security(), paths.log(), paths.pid()}) {
    IPF_TRY(make_private_dir(dir));
  }
  return {};
}

}  // namespace ipf
