#include "launcher/cluster_file.hpp"

#include <string>
#include <sys/stat.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "unit/launcher/launcher_testing.hpp"

namespace ipf {
namespace {

using nlohmann::json;

const std::filesystem::path from_ipyparallel =
    std::filesystem::path{IPF_TESTS_DIR} / "unit/launcher/data/cluster-ipyparallel-9.2.json";

ClusterRecord example() {
  ClusterRecord record{.cluster_id = "cl1", .profile_dir = "/home/me/profile_x"};
  record.controller_args = {"--ping=300", "--name=a \"b\" \\ \xC3\xA9"};
  record.controller_ip = "*";
  record.controller_location = "host0";
  record.delay_seconds = 0.5;
  record.engines_wanted = 2;
  record.controller = {.kind = "local",
                       .state_json = R"({"pid":11,"state":"running"})",
                       .engines = 0,
                       .processes = {{11, 1111}}};
  record.engine_sets["1795225667"] = {
      .kind = "local",
      .state_json = R"({"engines":{"0":{"n":1,"pid":12},"1":{"n":1,"pid":13}},"n":2,"pid":-1})",
      .engines = 2,
      .processes = {{12, 2222}, {13, 3333}}};
  record.ipcluster = ProcessId{10, 1000};
  record.machine = MachineId{.host = "host0", .boot = "b-o-o-t", .pid_namespace = "pid:[1]"};
  return record;
}

class ClusterFileTest : public testing::Test {
 protected:
  test::TemporaryDir dir;
  std::filesystem::path file = dir.path() / "cluster-cl1.json";
};

TEST_F(ClusterFileTest, WhatIsWrittenIsRead) {
  ASSERT_TRUE(write_cluster_file(file, example()));
  const Result<ClusterRecord> read = read_cluster_file(file);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, example());
}

TEST_F(ClusterFileTest, FileIsPrivateAndNothingElseIsLeft) {
  ASSERT_TRUE(write_cluster_file(file, example()));
  ASSERT_TRUE(write_cluster_file(file, example()));
  struct stat info{};
  ASSERT_EQ(stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  const auto entries = std::filesystem::directory_iterator(dir.path());
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
}

TEST_F(ClusterFileTest, HasExactlyTheKeysOfIpyparallelAndOneMore) {
  ASSERT_TRUE(write_cluster_file(file, example()));
  json ours = json::parse(test::read_text(file));
  const json theirs = json::parse(test::read_text(from_ipyparallel));
  EXPECT_TRUE(ours.contains("ipyfleet"));
  ours.erase("ipyfleet");
  const auto keys = [](const json& object) {
    std::vector<std::string> out;
    for (const auto& [key, value] : object.items()) {
      out.push_back(key);
    }
    return out;
  };
  EXPECT_EQ(keys(ours), keys(theirs));
  EXPECT_EQ(keys(ours["cluster"]), keys(theirs["cluster"]));
  EXPECT_EQ(keys(ours["controller"]), keys(theirs["controller"]));
  EXPECT_EQ(keys(ours["engines"]), keys(theirs["engines"]));
  EXPECT_EQ(ours["cluster"]["class"], theirs["cluster"]["class"]);
}

TEST_F(ClusterFileTest, ASetOfAnotherKindStandsUnderOurKeyAndIsRead) {
  ClusterRecord record = example();
  record.engine_sets["7"] = {
      .kind = "slurm", .state_json = R"({"job_id":"42","n":3})", .engines = 3, .processes = {}};
  ASSERT_TRUE(write_cluster_file(file, record));
  const json content = json::parse(test::read_text(file));
  EXPECT_FALSE(content["engines"]["sets"].contains("7")) << "ipyparallel would take it for local";
  const Result<ClusterRecord> read = read_cluster_file(file);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, record);
}

TEST_F(ClusterFileTest, ASetIsPutInAndTakenOutAndTheRestStays) {
  ASSERT_TRUE(write_cluster_file(file, example()));
  json before = json::parse(test::read_text(file));
  before["cluster"]["class"] = "site.clusters.Ours";
  before["other"] = {1, 2};
  test::write_text(file, before.dump());
  const LauncherState other{.kind = "mpi",
                            .state_json = R"({"n":2,"pid":77,"start":7777})",
                            .engines = 2,
                            .processes = {{77, 7777}}};
  ASSERT_TRUE(record_engine_set(file, "8", other));
  ASSERT_TRUE(record_engine_set(file, "8", other)) << "again, with news";
  LauncherState same = other;
  same.kind = "local";
  ASSERT_TRUE(record_engine_set(file, "9", same));
  const Result<ClusterRecord> read = read_cluster_file(file);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->engine_sets.size(), 3U);
  EXPECT_EQ(read->engine_sets.at("8"), other);
  EXPECT_EQ(read->engine_sets.at("9"), same);
  ASSERT_TRUE(record_engine_set(file, "8", {}));
  ASSERT_TRUE(record_engine_set(file, "9", {}));
  EXPECT_EQ(json::parse(test::read_text(file)), before);
}

TEST_F(ClusterFileTest, ASetIsNotRecordedWithoutAFile) {
  const Result<void> recorded = record_engine_set(file, "8", {});
  ASSERT_FALSE(recorded);
  EXPECT_EQ(recorded.error().code, ErrorCode::not_found);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST_F(ClusterFileTest, OneAtATimeHoldsTheLockAndNobodyWaitsForEver) {
  const Duration at_once{0};
  {
    const ClusterFileLock lock(file);
    EXPECT_TRUE(lock.held());
    EXPECT_FALSE(ClusterFileLock(file, at_once).held());
  }
  EXPECT_TRUE(ClusterFileLock(file, at_once).held());
  EXPECT_FALSE(ClusterFileLock(dir.path() / "missing" / "file", at_once).held());
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST_F(ClusterFileTest, FileOfIpyparallelIsRead) {
  const Result<ClusterRecord> read = read_cluster_file(from_ipyparallel);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->cluster_id, "cl1");
  EXPECT_EQ(read->profile_dir, "/tmp/pd-ipp");
  EXPECT_EQ(read->controller_args, std::vector<std::string>{"--ping=300"});
  EXPECT_EQ(read->delay_seconds, 1.0);
  EXPECT_EQ(read->engines_wanted, 2);
  EXPECT_EQ(read->controller.kind, "local");
  EXPECT_EQ(read->controller.processes, (std::vector<ProcessId>{{25172, 0}}));
  ASSERT_TRUE(read->engine_sets.contains("1795240084"));
  const LauncherState& set = read->engine_sets.at("1795240084");
  EXPECT_EQ(set.engines, 2);
  EXPECT_EQ(set.processes, (std::vector<ProcessId>{{25216, 0}, {25222, 0}}));
  EXPECT_EQ(read->ipcluster, std::nullopt);
  EXPECT_EQ(read->machine, std::nullopt);
}

TEST_F(ClusterFileTest, ControllerThatDoesNotRunIsLeftOut) {
  ClusterRecord record = example();
  record.controller = {.kind = "local"};
  record.engine_sets.clear();
  ASSERT_TRUE(write_cluster_file(file, record));
  const json written = json::parse(test::read_text(file));
  EXPECT_FALSE(written.contains("controller"));
  EXPECT_EQ(written["engines"], json::parse(R"({"class":"local","sets":{}})"));
}

TEST_F(ClusterFileTest, MissingFileIsNotFound) {
  const Result<ClusterRecord> read = read_cluster_file(file);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::not_found);
}

TEST_F(ClusterFileTest, DamagedFilesAreMalformedAndNamed) {
  for (const char* text :
       {"", "{", "[]", "null", "{\"cluster\": 1}", "{\"engines\": {}}", "\xFF"}) {
    test::write_text(file, text);
    const Result<ClusterRecord> read = read_cluster_file(file);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, ErrorCode::malformed);
    EXPECT_NE(read.error().message.find(file.string()), std::string::npos);
  }
}

TEST_F(ClusterFileTest, ValuesOfWrongTypesAreTakenAsAbsent) {
  test::write_text(file,
                   R"({"cluster": {"cluster_id": 5, "n": "x", "controller_args": {}, "delay": []},
      "controller": {"class": [], "state": {"pid": "12"}},
      "engines": {"class": 1, "sets": {"a": 3, "b": {"engines": {"0": {"pid": -4}, "1": 7}}}},
      "ipyfleet": {"ipcluster": {"pid": 0}, "start_ticks": [], "machine": ""}})");
  const Result<ClusterRecord> read = read_cluster_file(file);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->cluster_id, "");
  EXPECT_EQ(read->engines_wanted, 0);
  EXPECT_TRUE(read->controller.processes.empty());
  EXPECT_TRUE(read->engine_sets.at("b").processes.empty());
  EXPECT_EQ(read->ipcluster, std::nullopt);
}

TEST_F(ClusterFileTest, DirectoryThatCannotBeWrittenIsNamed) {
  const Result<void> written = write_cluster_file(dir.path() / "none" / "cluster-.json", example());
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("none/cluster-.json"), std::string::npos);
}

}  // namespace
}  // namespace ipf
