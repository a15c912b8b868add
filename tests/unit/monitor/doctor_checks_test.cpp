#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "monitor/doctor/checks.hpp"
#include "monitor/doctor/report.hpp"
#include "protocol/json_text.hpp"

namespace ipf::doctor {
namespace {

using std::chrono::milliseconds;

ConnectionFileFacts good_file(const std::string& path) {
  return {.file = {.path = path, .exists = true, .mine = true, .mode = 0600},
          .key_bytes = 33,
          .scheme = "hmac-sha256",
          .interface = "tcp://127.0.0.1",
          .location = "here",
          .reached = "tcp://127.0.0.1"};
}

EngineFacts good_engine(int id) {
  return {.id = id,
          .control = milliseconds(1),
          .round_trip = milliseconds(2),
          .output_came = true,
          .implementation = "ipyfleet 1.0",
          .host = "node1",
          .pid = 77,
          .python = "3.11.2",
          .ipython = "9.0",
          .descriptors_hard = 4096};
}

/// A host and a cluster of two engines with nothing wrong.
Facts healthy() {
  Facts out{.timeout = std::chrono::seconds(3)};
  out.host = {.own_version = "1.0",
              .profile_exists = true,
              .descriptors_soft = 1024,
              .descriptors_hard = 4096,
              .disks = {{.what = "profile", .path = "/p", .free_bytes = 1ULL << 40U}},
              .programs = {{.name = "ipengine", .path = "/bin/ipengine", .version = "1.0"}},
              .python = PythonFacts{.path = "/bin/python", .version = "3.11.2", .ipython = "9.0"},
              .host = "here"};
  out.cluster.record = {.exists = true,
                        .running = true,
                        .engines_wanted = 2,
                        .controller_kind = "local",
                        .engines_kind = "local",
                        .controller_recorded = true,
                        .controller_alive = true,
                        .engine_processes = 2,
                        .engine_processes_alive = 2};
  out.cluster.client_file = good_file("/p/client.json");
  out.cluster.engine_file = good_file("/p/engine.json");
  out.cluster.ports = {{.name = "client mux", .url = "tcp://127.0.0.1:1", .mechanism = "NULL"},
                       {.name = "engine mux", .url = "tcp://127.0.0.1:2", .mechanism = "NULL"}};
  out.cluster.hub = HubFacts{.connected = true,
                             .connect_time = milliseconds(1),
                             .round_trip = milliseconds(1),
                             .clock_ahead_seconds = 0,
                             .has_figures = true,
                             .uptime_seconds = 100,
                             .heartbeats = 5};
  out.cluster.paths = {{.name = "task scheduler", .round_trip = milliseconds(1)}};
  out.cluster.engines = {good_engine(0), good_engine(1)};
  return out;
}

/// What is not well, `FAIL what` or `warn what`.
std::vector<std::string> trouble(const Facts& facts) {
  std::vector<std::string> out;
  for (const Finding& finding : examine(facts)) {
    if (finding.verdict != Verdict::ok) {
      EXPECT_FALSE(finding.fix.empty()) << finding.what;
      out.push_back((finding.verdict == Verdict::fail ? "FAIL " : "warn ") + finding.what);
    }
  }
  return out;
}

using Troubles = std::vector<std::string>;

TEST(DoctorChecks, NothingIsWrongWithAHealthyCluster) {
  EXPECT_EQ(trouble(healthy()), Troubles{});
  EXPECT_EQ(exit_code_of(examine(healthy())), 0);
}

TEST(DoctorChecks, DescriptorsAreCountedForTheEnginesThatAreWanted) {
  Facts facts = healthy();
  facts.host.descriptors_hard = 500;
  EXPECT_EQ(trouble(facts), Troubles{"warn descriptors"});
  facts.cluster.record.engines_wanted = 100;
  facts.cluster.engines.resize(100, good_engine(1));
  EXPECT_EQ(trouble(facts), Troubles{"FAIL descriptors"});
}

TEST(DoctorChecks, DisksWithoutRoom) {
  Facts facts = healthy();
  facts.host.disks = {{.what = "a", .path = "/a", .free_bytes = 100U << 20U},
                      {.what = "b", .path = "/b", .free_bytes = 0},
                      {.what = "c", .path = "/c", .free_bytes = 1ULL << 40U, .free_files = 0},
                      {.what = "d", .path = "/d", .free_bytes = 1ULL << 40U, .writable = false}};
  EXPECT_EQ(trouble(facts), (Troubles{"warn disk a", "FAIL disk b", "FAIL disk c", "FAIL disk d"}));
}

TEST(DoctorChecks, VersionsThatDiffer) {
  Facts facts = healthy();
  facts.host.programs[0].version = "0.9";
  facts.host.python->package = "0.9";
  facts.cluster.engines[0].implementation = "ipyfleet 0.9";
  facts.cluster.engines[1].python = "3.12.1";
  EXPECT_EQ(trouble(facts),
            (Troubles{"FAIL program", "warn python", "warn versions", "warn versions"}));
  facts.cluster.engines[0].implementation = "ipython 9.0";  // an engine of ipyparallel
  facts.cluster.engines[1].python = "3.11.9";
  EXPECT_EQ(trouble(facts), (Troubles{"FAIL program", "warn python"}));
}

TEST(DoctorChecks, ClocksOfHostsAreJudgedBeyondTheRoundTrip) {
  Facts facts = healthy();
  facts.cluster.engines[1].host = "node2";
  facts.cluster.engines[1].clock_ahead_seconds = -7;
  facts.cluster.engines[1].clock_error_seconds = 3;
  EXPECT_EQ(trouble(facts), Troubles{});
  facts.cluster.engines[1].clock_error_seconds = 0.1;
  EXPECT_EQ(trouble(facts), Troubles{"warn clock node2"});
  facts.cluster.hub->clock_ahead_seconds = 3600;
  EXPECT_EQ(trouble(facts), (Troubles{"warn clock", "warn clock node2"}));
}

TEST(DoctorChecks, EachStateOfAPortHasItsOwnText) {
  Facts facts = healthy();
  std::vector<std::string> details;
  for (const PortState state :
       {PortState::refused, PortState::silent, PortState::foreign, PortState::no_way}) {
    facts.cluster.ports[0].state = state;
    EXPECT_EQ(trouble(facts), Troubles{"FAIL port client mux"});
    for (const Finding& finding : examine(facts)) {
      if (finding.what == "port client mux") {
        EXPECT_EQ(std::ranges::count(details, finding.detail), 0);
        details.push_back(finding.detail);
      }
    }
  }
  facts.cluster.ports[0].state = PortState::answers;
  facts.cluster.ports[0].mechanism = "CURVE";
  EXPECT_EQ(trouble(facts), Troubles{"FAIL port client mux"});
  facts.cluster.client_file->curve = true;
  EXPECT_EQ(trouble(facts), Troubles{});
}

TEST(DoctorChecks, ConnectionFiles) {
  Facts facts = healthy();
  facts.cluster.client_file->file.mode = 0640;
  facts.cluster.engine_file->key_bytes = 0;
  facts.cluster.keys_agree = false;
  EXPECT_EQ(trouble(facts), (Troubles{"FAIL client file", "warn engine file", "FAIL key"}));
  facts = healthy();
  facts.cluster.client_file.reset();
  EXPECT_EQ(trouble(facts), Troubles{"FAIL client file"});
}

TEST(DoctorChecks, AControllerOnLoopbackIsOutOfReachForOtherHosts) {
  Facts facts = healthy();
  facts.cluster.record.engines_kind = "slurm";
  EXPECT_EQ(trouble(facts), Troubles{}) << "all engines are there, so it must be one machine";
  facts.cluster.engines.pop_back();
  EXPECT_EQ(trouble(facts), (Troubles{"FAIL location", "FAIL engines"}));
  facts.cluster.engine_file->interface = "tcp://*";
  EXPECT_EQ(trouble(facts), Troubles{"FAIL engines"});
}

TEST(DoctorChecks, JobsThatTheBatchSystemHasForgotten) {
  Facts facts = healthy();
  facts.cluster.record.jobs_asked = true;
  EXPECT_EQ(trouble(facts), Troubles{});
  facts.cluster.record.jobs_gone = true;
  EXPECT_EQ(trouble(facts), Troubles{"FAIL jobs"});
}

TEST(DoctorChecks, FiguresOfTheHub) {
  Facts facts = healthy();
  facts.cluster.hub->bad_signatures = 1;
  facts.cluster.hub->store_failing = true;
  facts.cluster.hub->heartbeats = 0;
  EXPECT_EQ(trouble(facts), (Troubles{"warn signatures", "FAIL database", "warn heart beats"}));
  facts.cluster.hub->has_figures = false;
  EXPECT_EQ(trouble(facts), Troubles{});
}

TEST(DoctorChecks, EnginesThatAreSilentBusyOrWithoutOutput) {
  Facts facts = healthy();
  facts.cluster.engines[0] = {.id = 0, .problem = "no answer"};
  facts.cluster.engines[1].output_came = false;
  EXPECT_EQ(trouble(facts), (Troubles{"FAIL engine 0", "FAIL engine 1 output"}));
  facts.cluster.engines = {good_engine(0), {.id = 1, .control = milliseconds(1), .pending = 2}};
  EXPECT_EQ(trouble(facts), Troubles{}) << "a busy engine is well";
}

TEST(DoctorChecks, ManyEnginesThatAreWellAreOneLine) {
  Facts facts = healthy();
  facts.cluster.engines.clear();
  for (int id = 0; id < 200; ++id) {
    facts.cluster.engines.push_back(good_engine(id));
  }
  facts.cluster.engines[7].control.reset();
  facts.cluster.engines[7].round_trip.reset();
  EXPECT_EQ(trouble(facts), Troubles{"FAIL engine 7"});
  EXPECT_LT(examine(facts).size(), 40U);
}

TEST(DoctorReport, TextAndJsonTellTheSame) {
  const Findings findings{
      {.what = "a", .detail = "fine"},
      {.verdict = Verdict::warn, .what = "bb", .detail = "hm", .fix = "do"},
      {.verdict = Verdict::fail, .what = "c", .detail = "x\x1b[2J", .fix = "y"}};
  const std::string text = text_of(findings);
  EXPECT_TRUE(text.starts_with("ok    a   fine\nwarn  bb  hm\n      fix: do\nFAIL  c   x"));
  EXPECT_EQ(text.find('\x1b'), std::string::npos) << "nothing steers the terminal";
  EXPECT_TRUE(text.ends_with("3 checks: 1 failed, 1 warnings\n"));
  const auto json = parse_json_object(json_of(findings), "the report");
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["failed"], 1);
  EXPECT_EQ((*json)["ok"], false);
  EXPECT_EQ((*json)["checks"][1]["verdict"], "warn");
  EXPECT_EQ(exit_code_of(findings), 1);
  EXPECT_EQ(exit_code_of({findings[0], findings[1]}), 0);
}

}  // namespace
}  // namespace ipf::doctor
