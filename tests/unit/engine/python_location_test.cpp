#include "engine/python_location.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace ipf::engine {
namespace {

namespace fs = std::filesystem;

/// A directory with fake environments; no Python is ever run.
class PythonLocationTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "ipf_python_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root = pattern;
    search.needed = {.major = 3, .minor = 11};
    search.program = root / "opt" / "bin" / "ipengine";
    search.built_with = root / "nowhere" / "python";
  }
  void TearDown() override { fs::remove_all(root); }

  void program(const fs::path& file) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << "ELF";
    fs::permissions(file, fs::perms::owner_all);
  }
  fs::path venv(const std::string& name, const std::string& config) {
    program(root / name / "bin" / "python3");
    std::ofstream(root / name / "pyvenv.cfg") << config;
    return root / name;
  }

  fs::path root;
  PythonSearch search;
};

TEST_F(PythonLocationTest, TheActiveEnvironmentComesFirst) {
  search.virtual_env = venv("active", "home = /usr/bin\nversion = 3.11.7\n");
  search.program = venv("own", "version = 3.11.2\n") / "bin" / "ipengine";
  const auto found = locate_python(search);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->executable, root / "active/bin/python3");
}

TEST_F(PythonLocationTest, EnvironmentsOfUvAndVirtualenvAreUnderstood) {
  search.virtual_env = venv("active", "version_info = 3.11.7.final.0\n");
  EXPECT_TRUE(locate_python(search));
}

TEST_F(PythonLocationTest, AnActiveEnvironmentOfAnotherVersionIsAnErrorThatNamesBoth) {
  search.virtual_env = venv("active", "version = 3.13.0\n");
  const auto found = locate_python(search);
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("has Python 3.13"), std::string::npos)
      << found.error().message;
  EXPECT_NE(found.error().message.find("built for Python 3.11"), std::string::npos);
}

TEST_F(PythonLocationTest, TheEnvironmentOfTheProgramBeatsAnActiveOneThatDoesNotFit) {
  search.virtual_env = venv("active", "version = 3.13.0\n");
  search.program = venv("own", "version = 3.11.2\n") / "bin" / "ipengine";
  const auto found = locate_python(search);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->executable, root / "own/bin/python3");
}

TEST_F(PythonLocationTest, PathIsSearchedAndLinksTellTheVersion) {
  program(root / "conda/bin/python3.11");
  fs::create_symlink("python3.11", root / "conda/bin/python3");
  search.path = "relative:" + (root / "empty").string() + ":" + (root / "conda/bin").string();
  const auto found = locate_python(search);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->executable, root / "conda/bin/python3");
}

TEST_F(PythonLocationTest, AShimIsAsked) {
  program(root / "shims/python3");
  std::ofstream(root / "shims/python3") << "#!/bin/sh\n";
  search.path = (root / "shims").string();
  search.ask = [&](const fs::path&) {
    return std::pair{root / "real/python3", PythonVersion{3, 11}};
  };
  const auto found = locate_python(search);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->executable, root / "real/python3");
}

TEST_F(PythonLocationTest, AnotherVersionOnPathFallsBackToThePythonOfTheBuild) {
  program(root / "usr/bin/python3.13");
  fs::create_symlink("python3.13", root / "usr/bin/python3");
  program(root / "build/python");
  search.path = (root / "usr/bin").string();
  search.built_with = root / "build/python";
  const auto found = locate_python(search);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->executable, root / "build/python");
  EXPECT_NE(found->why.find("is Python 3.13"), std::string::npos);
  search.built_with = root / "nowhere";
  EXPECT_FALSE(locate_python(search));
}

}  // namespace
}  // namespace ipf::engine
