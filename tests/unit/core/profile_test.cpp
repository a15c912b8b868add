#include "core/profile.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "unit/core/core_testing.hpp"

namespace ipf {
namespace {

using test::ScopedEnvironment;
using test::TempDir;

/// The environment of a user who set nothing of ours.
struct PlainEnvironment {
  ScopedEnvironment profile{"IPP_PROFILE_DIR", std::nullopt};
  ScopedEnvironment cluster{"IPP_CLUSTER_ID", std::nullopt};
  ScopedEnvironment ipython{"IPYTHONDIR", std::nullopt};
  ScopedEnvironment home{"HOME", "/home/someone"};
};

std::string dir_of(const ProfileOptions& options) {
  const auto paths = locate_profile(options);
  return paths ? paths->dir.string() : "error: " + paths.error().message;
}

TEST(Profile, WithoutAnyChoiceItIsTheDefaultProfileBelowHome) {
  const PlainEnvironment plain;
  EXPECT_EQ(dir_of(with_environment({})), "/home/someone/.ipython/profile_default");
  EXPECT_EQ(dir_of(with_environment({.profile = "mpi"})), "/home/someone/.ipython/profile_mpi");
}

TEST(Profile, TheEnvironmentFillsWhatTheCommandLineLeftOpen) {
  const PlainEnvironment plain;
  const ScopedEnvironment dir("IPP_PROFILE_DIR", "/env/profile");
  const ScopedEnvironment cluster("IPP_CLUSTER_ID", "env-id");
  const auto options = with_environment({});
  EXPECT_EQ(dir_of(options), "/env/profile");
  EXPECT_EQ(options.cluster_id, "env-id");
}

TEST(Profile, TheCommandLineBeatsTheEnvironment) {
  const PlainEnvironment plain;
  const ScopedEnvironment dir("IPP_PROFILE_DIR", "/env/profile");
  const ScopedEnvironment ipython("IPYTHONDIR", "/env/ipython");
  const ScopedEnvironment cluster("IPP_CLUSTER_ID", "env-id");
  EXPECT_EQ(dir_of(with_environment({.profile_dir = "/given/dir"})), "/given/dir");
  EXPECT_EQ(dir_of(with_environment({.profile = "given"})), "/env/ipython/profile_given");
  EXPECT_EQ(dir_of(with_environment({.profile = "p", .ipython_dir = "/given/ipython"})),
            "/given/ipython/profile_p");
  EXPECT_EQ(with_environment({.cluster_id = "given"}).cluster_id, "given");
}

TEST(Profile, TheProfileDirectoryBeatsTheProfileName) {
  EXPECT_EQ(dir_of({.profile = "name", .profile_dir = "/given/dir", .ipython_dir = "/i"}),
            "/given/dir");
}

TEST(Profile, IpythonDirBeatsHome) {
  const PlainEnvironment plain;
  const ScopedEnvironment ipython("IPYTHONDIR", "/env/ipython");
  EXPECT_EQ(dir_of(with_environment({})), "/env/ipython/profile_default");
}

TEST(Profile, WithoutHomeTheErrorNamesTheRemedy) {
  const PlainEnvironment plain;
  const ScopedEnvironment home("HOME", std::nullopt);
  const auto paths = locate_profile(with_environment({}));
  ASSERT_FALSE(paths);
  EXPECT_EQ(paths.error().code, ErrorCode::not_found);
  EXPECT_NE(paths.error().message.find("--profile-dir"), std::string::npos);
}

TEST(Profile, NamesThatCouldLeaveTheDirectoryAreRefused) {
  const std::vector<std::string> wrong{"..",
                                       ".",
                                       ".hidden",
                                       "../x",
                                       "a/b",
                                       "/etc",
                                       "a\\b",
                                       "a b",
                                       "a\n",
                                       "ä",
                                       "~",
                                       "a:b",
                                       "$HOME",
                                       "a*",
                                       std::string("a\0b", 3),
                                       std::string(201, 'a')};
  for (const auto& name : wrong) {
    for (const auto& options : {ProfileOptions{.profile = name, .ipython_dir = "/i"},
                                ProfileOptions{.ipython_dir = "/i", .cluster_id = name}}) {
      const auto paths = locate_profile(options);
      ASSERT_FALSE(paths) << name;
      EXPECT_EQ(paths.error().code, ErrorCode::invalid_argument);
      EXPECT_EQ(paths.error().message.find('\n'), std::string::npos) << "a log line can be forged";
    }
  }
}

TEST(Profile, OrdinaryNamesAreTaken) {
  for (const std::string name : {"a", "A-1_b.c", "1795225667-ab3c"}) {
    const auto paths = locate_profile({.profile = name, .ipython_dir = "/i", .cluster_id = name});
    ASSERT_TRUE(paths) << name;
    EXPECT_EQ(paths->dir, "/i/profile_" + name);
    EXPECT_EQ(paths->cluster_id, name);
  }
  EXPECT_TRUE(locate_profile({.profile = std::string(200, 'a'), .ipython_dir = "/i"}));
}

TEST(Profile, FilesAreNamedAsTheReferenceNamesThem) {
  const ProfilePaths plain{.dir = "/p", .cluster_id = ""};
  EXPECT_EQ(plain.client_file(), "/p/security/ipcontroller-client.json");
  EXPECT_EQ(plain.engine_file(), "/p/security/ipcontroller-engine.json");
  EXPECT_EQ(plain.cluster_file(), "/p/security/cluster-.json");
  EXPECT_EQ(plain.pid_file(), "/p/pid/ipcluster.pid");
  const ProfilePaths named{.dir = "/p", .cluster_id = "c1"};
  EXPECT_EQ(named.client_file(), "/p/security/ipcontroller-c1-client.json");
  EXPECT_EQ(named.engine_file(), "/p/security/ipcontroller-c1-engine.json");
  EXPECT_EQ(named.cluster_file(), "/p/security/cluster-c1.json");
  EXPECT_EQ(named.pid_file(), "/p/pid/ipcluster-c1.pid");
  EXPECT_EQ(named.log(), "/p/log");
}

TEST(Profile, AllDirectoriesAreMadeForTheUserAlone) {
  const TempDir temp;
  const auto paths = locate_profile({.profile_dir = (temp / "deep" / "er").string()});
  ASSERT_TRUE(paths);
  ASSERT_TRUE(make_profile(*paths));
  for (const auto& dir : {paths->dir, paths->security(), paths->log(), paths->pid()}) {
    EXPECT_EQ(test::mode_of(dir), 0700U) << dir;
  }
  EXPECT_TRUE(make_profile(*paths)) << "a second time is no error";
}

TEST(Profile, ATrailingSlashMakesTheDirectoryNoMorePublic) {
  const TempDir temp;
  const auto paths = locate_profile({.profile_dir = (temp / "profile").string() + "/"});
  ASSERT_TRUE(paths);
  ASSERT_TRUE(make_profile(*paths));
  EXPECT_EQ(test::mode_of(temp / "profile"), 0700U);
}

TEST(Profile, AFileInTheWayIsNamed) {
  const TempDir temp;
  const ProfilePaths paths{.dir = temp / "profile", .cluster_id = ""};
  std::filesystem::create_directory(paths.dir);
  test::write_file(paths.log(), "");
  const auto made = make_profile(paths);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message, paths.log().string() + " exists and is no directory");
}

TEST(Profile, AParentThatCannotHoldItIsNamed) {
  const TempDir temp;
  test::write_file(temp / "file", "");
  const auto made = make_profile({.dir = temp / "file" / "profile", .cluster_id = ""});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::io);
  EXPECT_NE(made.error().message.find((temp / "file" / "profile").string()), std::string::npos);
}

TEST(Profile, ADirectoryOfAnotherUserIsRefused) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "only root can give a directory away";
  }
  const TempDir temp;
  const ProfilePaths paths{.dir = temp / "profile", .cluster_id = ""};
  std::filesystem::create_directory(paths.dir);
  ASSERT_EQ(chown(paths.dir.c_str(), 12345, 12345), 0);
  const auto made = make_profile(paths);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::permission);
}

}  // namespace
}  // namespace ipf
