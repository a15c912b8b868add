#pragma once

#include <filesystem>
#include <string>

#include "core/result.hpp"

namespace ipf {

/// What the command line and the environment say about where a cluster keeps its files.
struct ProfileOptions {
  std::string profile{};      ///< --profile; empty means "default"
  std::string profile_dir{};  ///< --profile-dir, else $IPP_PROFILE_DIR; beats `profile`
  std::string ipython_dir{};  ///< --ipython-dir, else $IPYTHONDIR, else ~/.ipython
  std::string cluster_id{};   ///< --cluster-id, else $IPP_CLUSTER_ID
};

/// The files of one cluster in one profile (protocol.md 2, 2.6).
struct ProfilePaths {
  std::filesystem::path dir{};
  std::string cluster_id{};

  [[nodiscard]] std::filesystem::path security() const { return dir / "security"; }
  [[nodiscard]] std::filesystem::path log() const { return dir / "log"; }
  [[nodiscard]] std::filesystem::path pid() const { return dir / "pid"; }
  [[nodiscard]] std::filesystem::path client_file() const { return security() / file("client"); }
  [[nodiscard]] std::filesystem::path engine_file() const { return security() / file("engine"); }
  [[nodiscard]] std::filesystem::path cluster_file() const {
    return security() / ("cluster-" + cluster_id + ".json");
  }
  [[nodiscard]] std::filesystem::path pid_file() const {
    return pid() / ("ipcluster" + dashed_id() + ".pid");
  }
  [[nodiscard]] std::string dashed_id() const { return cluster_id.empty() ? "" : "-" + cluster_id; }

 private:
  [[nodiscard]] std::string file(const char* role) const {
    return "ipcontroller" + dashed_id() + "-" + role + ".json";
  }
};

/// Fills empty fields from IPP_PROFILE_DIR, IPP_CLUSTER_ID, IPYTHONDIR and HOME.
ProfileOptions with_environment(ProfileOptions options);

/// Where the files are. Fails when the profile name or the cluster id could leave the directory
/// (anything but letters, digits, `_`, `-`, `.`, or a leading dot), or when HOME is unknown.
/// Never looks at the current directory.
Result<ProfilePaths> locate_profile(const ProfileOptions& options);

/// Makes the profile directory with `security`, `log` and `pid` (0700 all). Fails by name when one
/// cannot be made, or belongs to another user.
Result<void> make_profile(const ProfilePaths& paths);

}  // namespace ipf
