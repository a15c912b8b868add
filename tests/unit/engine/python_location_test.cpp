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

TEST_F(PythonLocationTest, AnotherVersionOnPathIsAnErrorThatNamesTheFix) {
  program(root / "usr/bin/python3.13");
  fs::create_symlink("python3.13", root / "usr/bin/python3");
  program(root / "build/python");
  search.path = (root / "usr/bin").string();
  search.built_with = root / "build/python";
  const auto found = locate_python(search);
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("is Python 3.13"), std::string::npos);
  EXPECT_NE(found.error().message.find("--python=PATH"), std::string::npos);
}

TEST_F(PythonLocationTest, WithoutAnyPythonOnPathThatOfTheBuildIsTaken) {
  program(root / "build/python");
  search.built_with = root / "build/python";
  const auto found = locate_python(search);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->executable, root / "build/python");
  EXPECT_TRUE(found->embeddable);
  search.built_with = root / "nowhere";
  EXPECT_FALSE(locate_python(search));
}

TEST_F(PythonLocationTest, CondaComesBehindAVirtualEnvironmentAndBeforePath) {
  program(root / "conda/bin/python3.11");
  fs::create_symlink("python3.11", root / "conda/bin/python3");
  program(root / "usr/bin/python3.11");
  fs::create_symlink("python3.11", root / "usr/bin/python3");
  search.path = (root / "usr/bin").string();
  search.conda_prefix = root / "conda";
  EXPECT_EQ(locate_python(search).value().executable, root / "conda/bin/python3");
  search.virtual_env = venv("active", "version = 3.11.7\n");
  EXPECT_EQ(locate_python(search).value().executable, root / "active/bin/python3");
}

TEST_F(PythonLocationTest, CondasBaseYieldsToTheEnvironmentOfTheProgram) {
  program(root / "conda/bin/python3.11");
  fs::create_symlink("python3.11", root / "conda/bin/python3");
  search.conda_prefix = root / "conda";
  search.conda_base = true;
  EXPECT_EQ(locate_python(search).value().executable, root / "conda/bin/python3");
  search.program = venv("own", "version = 3.11.2\n") / "bin" / "ipengine";
  EXPECT_EQ(locate_python(search).value().executable, root / "own/bin/python3");
  search.conda_base = false;
  EXPECT_EQ(locate_python(search).value().executable, root / "conda/bin/python3");
}

TEST_F(PythonLocationTest, WhatTheUserNamesBeatsAll) {
  search.virtual_env = venv("active", "version = 3.11.7\n");
  program(root / "named/bin/python3.11");
  fs::create_symlink("python3.11", root / "named/bin/python3");
  for (const auto& wanted : {root / "named", root / "named/bin/python3"}) {
    search.wanted = wanted;
    EXPECT_EQ(locate_python(search).value().executable, root / "named/bin/python3");
  }
  search.path = (root / "named/bin").string();
  search.wanted = "python3.11";
  EXPECT_EQ(locate_python(search).value().executable, root / "named/bin/python3.11");
  for (const auto& wanted : {root / "nothing", root / "opt"}) {
    search.wanted = wanted;
    EXPECT_FALSE(locate_python(search)) << wanted;
  }
}

TEST_F(PythonLocationTest, OnlyEnvironmentsOfTheInstallationOfTheBuildCanBeEmbedded) {
  program(root / "usr/bin/python3.11");
  program(root / "opt/bin/python3.11");
  search.built_with = root / "usr/bin/python3.11";
  const std::string version = "version = 3.11.2\n";
  search.virtual_env = venv("same", "home = " + (root / "usr/bin").string() + "\n" + version);
  EXPECT_TRUE(locate_python(search).value().embeddable) << "even as a copy";
  search.virtual_env = venv("other", "home = " + (root / "opt/bin").string() + "\n" + version);
  EXPECT_FALSE(locate_python(search).value().embeddable);
}

}  // namespace
}  // namespace ipf::engine
