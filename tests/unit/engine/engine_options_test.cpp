#include "engine/engine_options.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

namespace ipf::engine {
namespace {

class EngineOptionsTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"IPP_CONNECTION_INFO", "IPP_SESSION_KEY", "IPP_CLUSTER_ID", "IPP_PROFILE_DIR", "PMI_RANK",
          "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "PMIX_RANK"}) {
      unsetenv(name);
    }
  }
  static EngineOptions good(const std::vector<std::string>& arguments) {
    auto parsed = parse_engine_options(arguments);
    if (const auto* end = std::get_if<EndNow>(&parsed)) {
      ADD_FAILURE() << end->text;
      return {};
    }
    return std::get<EngineOptions>(std::move(parsed));
  }
  static EndNow end(const std::vector<std::string>& arguments) {
    auto parsed = parse_engine_options(arguments);
    if (auto* found = std::get_if<EndNow>(&parsed)) {
      return *found;
    }
    ADD_FAILURE() << "was accepted";
    return {};
  }
};

TEST_F(EngineOptionsTest, ValuesComeWithAnEqualsSignOrASpace) {
  EXPECT_EQ(good({"--file=a.json"}).connection_file, "a.json");
  EXPECT_EQ(good({"--file", "a.json"}).connection_file, "a.json");
  EXPECT_EQ(good({"-f", "a.json"}).connection_file, "a.json");
  EXPECT_EQ(good({"-c", "import numpy as np"}).startup_command, "import numpy as np");
}

TEST_F(EngineOptionsTest, ResourcesAndGpusAreRead) {
  const auto options = good({"--resources=mem=16,license=0.5", "--gpus=0,GPU-a1"});
  EXPECT_EQ(options.gpus, "0,GPU-a1");
  EXPECT_EQ(options.resources.size(), 3U);
  EXPECT_EQ(options.resources.at("mem"), 16.0);
  EXPECT_EQ(options.resources.at("license"), 0.5);
  EXPECT_EQ(options.resources.at("gpu"), 2.0);
  EXPECT_EQ(good({"--gpus=0", "--resources=gpu=4"}).resources.at("gpu"), 4.0);
  for (const std::string wrong :
       {"--resources=gpu", "--resources=gpu=x", "--resources==1", "--resources=gpu=-1",
        "--resources=gpu=inf", "--gpus=0;1", "--gpus=0,,1"}) {
    EXPECT_EQ(end({wrong}).status, 2) << wrong;
  }
}

TEST_F(EngineOptionsTest, TraitsOfTheReferenceAreUnderstood) {
  const EngineOptions options =
      good({"--IPEngine.startup_command=x=1", "--IPEngine.timeout=7",
            "--IPEngine.enable_nanny=False", "--IPEngine.max_heartbeat_misses=9",
            "--IPEngine.wait_for_url_file", "3", "--Session.key=abc"});
  EXPECT_EQ(options.startup_command, "x=1");
  EXPECT_EQ(options.registration_timeout, std::chrono::seconds(7));
  EXPECT_FALSE(options.with_nanny);
  EXPECT_EQ(options.missed_pings_max, 9);
  EXPECT_EQ(options.wait_for_file, std::chrono::seconds(3));
  EXPECT_EQ(options.key, "abc");
}

TEST_F(EngineOptionsTest, UnknownTraitsGoToPythonUnknownOptionsAreErrors) {
  const EngineOptions options = good({"--InteractiveShell.colors=nocolor", "--Nobody.knows"});
  EXPECT_EQ(options.traits.at("InteractiveShell").at("colors"), "nocolor");
  EXPECT_EQ(options.traits.at("Nobody").at("knows"), "True");
  const EndNow wrong = end({"--no-such-option"});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_EQ(wrong.text.find('\n'), std::string::npos) << "one line";
}

TEST_F(EngineOptionsTest, MpiTakesAModuleOrNothing) {
  EXPECT_TRUE(good({"--mpi"}).use_mpi);
  EXPECT_EQ(good({"--mpi=pytrilinos"}).mpi_module, "pytrilinos");
  EXPECT_TRUE(good({"--mpi", "--debug"}).use_mpi);
  setenv("PMI_RANK", "3", 1);
  EXPECT_EQ(good({"--mpi"}).wanted_id, EngineId{3});
  EXPECT_EQ(good({}).wanted_id, std::nullopt) << "ranks count with --mpi only";
  EXPECT_EQ(good({"--mpi", "--id=5"}).wanted_id, EngineId{5});
}

TEST_F(EngineOptionsTest, SecretsLeaveTheEnvironment) {
  setenv("IPP_CONNECTION_INFO", "{}", 1);
  setenv("IPP_SESSION_KEY", "k", 1);
  const EngineOptions options = good({});
  EXPECT_EQ(options.connection_text, "{}");
  EXPECT_EQ(options.key, "k");
  EXPECT_EQ(getenv("IPP_CONNECTION_INFO"), nullptr);
  EXPECT_EQ(getenv("IPP_SESSION_KEY"), nullptr);
}

TEST_F(EngineOptionsTest, TheCommandLineBeatsTheEnvironment) {
  setenv("IPP_CLUSTER_ID", "env", 1);
  setenv("IPP_PROFILE_DIR", "/env", 1);
  EXPECT_EQ(good({}).profile.cluster_id, "env");
  EXPECT_EQ(good({"--cluster-id=arg"}).profile.cluster_id, "arg");
  EXPECT_EQ(good({"--profile-dir=/arg"}).profile.profile_dir, "/arg");
}

TEST_F(EngineOptionsTest, KeyFilesAreTrimmed) {
  const auto file = std::filesystem::temp_directory_path() / "ipf_engine_options_key";
  std::ofstream(file) << "  secret \n";
  EXPECT_EQ(good({"--keyfile=" + file.string()}).key, "secret");
  std::filesystem::remove(file);
  EXPECT_EQ(end({"--keyfile=" + file.string()}).status, 2);
}

TEST_F(EngineOptionsTest, HelpAndVersionGoToStdout) {
  const EndNow help = end({"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_NE(help.text.find("Examples:"), std::string::npos);
  EXPECT_EQ(end({"--version"}).status, 0);
}

}  // namespace
}  // namespace ipf::engine
