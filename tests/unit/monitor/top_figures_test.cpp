#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "monitor/top/figures.hpp"
#include "monitor/top/figures_text.hpp"

namespace ipf::top {
namespace {

Snapshot snapshot(const std::string& queues, const std::string& status = "null") {
  auto out = read_snapshot(*parse_json(queues), *parse_json(status));
  EXPECT_TRUE(out);
  return out ? *out : Snapshot{};
}

Snapshot later(Snapshot out, std::chrono::seconds by) {
  out.at = out.at + by;
  return out;
}

TEST(TopFigures, EnginesByIdWhateverElseIsInTheReply) {
  const Snapshot seen = snapshot(R"({"10": {"queue": 1, "completed": 5, "tasks": 2}, "9": {},
      "unassigned": 4, "status": "ok", "3x": {}, "4": 7})");
  ASSERT_EQ(seen.engines.size(), 2U);
  EXPECT_EQ(seen.engines[0].id, 9);
  EXPECT_EQ(seen.engines[0].completed, 0U);
  EXPECT_EQ(seen.engines[1].id, 10);
  EXPECT_EQ(seen.engines[1].tasks, 2U);
  EXPECT_EQ(seen.unassigned, 4U);
  EXPECT_FALSE(seen.controller);
  EXPECT_FALSE(read_snapshot(Json::array(), Json()));
}

TEST(TopFigures, ValuesOfTheWrongTypeCountAsNothing) {
  const Snapshot seen =
      snapshot(R"({"0": {"queue": "many", "completed": -3, "tasks": 1.5}})",
               R"({"uptime": "long", "queues": {"task": [], "mux": {"clients": 1}}})");
  EXPECT_EQ(seen.engines[0].queue, 0U);
  EXPECT_EQ(seen.engines[0].completed, 0U);
  ASSERT_TRUE(seen.controller);
  ASSERT_EQ(seen.controller->queues.size(), 1U);
  EXPECT_EQ(seen.controller->queues[0].bytes_in, 0U);
}

TEST(TopFigures, RatesPerSecond) {
  const auto status = [](const std::string& cpu, const std::string& bytes) {
    return R"({"cpu": )" + cpu + R"(, "queues": {"task": {"clients": {"bytes_in": )" + bytes +
           R"(, "bytes_out": 0}, "engines": {"bytes_in": 100, "bytes_out": 6}}}})";
  };
  const Snapshot before =
      snapshot(R"({"0": {"completed": 10}, "1": {"completed": 50}})", status("1.0", "100"));
  const Snapshot now = later(snapshot(R"({"0": {"completed": 30}, "1": {"completed": 8},
                                          "2": {"completed": 4}})",
                                      status("2.0", "300")),
                             std::chrono::seconds(2));
  const Rates rates = rates_between(before, now);
  EXPECT_DOUBLE_EQ(rates.by_engine.at(0), 10);
  EXPECT_DOUBLE_EQ(rates.by_engine.at(1), 4) << "another engine under this id counts from 0";
  EXPECT_DOUBLE_EQ(rates.by_engine.at(2), 2);
  EXPECT_DOUBLE_EQ(rates.calls, 16);
  EXPECT_DOUBLE_EQ(rates.controller_cpu_percent, 50);
  EXPECT_DOUBLE_EQ(rates.bytes_in, 100);
  EXPECT_DOUBLE_EQ(rates.bytes_out, 0);
  EXPECT_DOUBLE_EQ(rates_between(now, now).calls, 0) << "no time has passed";
}

TEST(TopText, TableIsCutAtTheRows) {
  Snapshot seen = snapshot(R"({"0": {}, "1": {}, "2": {"queue": 1}})");
  const std::vector<std::string> all = table(seen, Rates{}, "title", 3);
  const std::vector<std::string> cut = table(seen, Rates{}, "title", 1);
  EXPECT_EQ(cut.size() + 1, all.size());
  EXPECT_EQ(cut.back(), "  and 2 more engines");
  EXPECT_NE(all[1].find("engines 3, busy 1"), std::string::npos);
}

TEST(TopText, NamesCannotSteerTheTerminal) {
  Snapshot seen = snapshot(R"({"0": {}})");
  seen.engines[0].usage = EngineUsage{.host = "a\x1b[2Jb", .pid = 1};
  for (const std::string& line : table(seen, {}, "t\x1bx", 9)) {
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
  }
}

TEST(TopText, JsonHasTheSameKeysInEachLine) {
  const Snapshot seen = snapshot(R"({"0": {}})");
  const Json first = *parse_json(json_line(seen, {}));
  const Json second =
      *parse_json(json_line(seen, rates_between(seen, later(seen, std::chrono::seconds(1)))));
  EXPECT_TRUE(first["rates"].is_null());
  EXPECT_EQ(second["rates"]["calls"], 0);
  EXPECT_EQ(first["engines"][0].size(), second["engines"][0].size());
  EXPECT_EQ((*parse_json(json_failure({}, "why")))["error"], "why");
}

TEST(TopText, NumbersForPeople) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(1023), "1023 B");
  EXPECT_EQ(bytes_text(1536), "1.5 KiB");
  EXPECT_EQ(bytes_text(300.0 * (1U << 20U)), "300 MiB");
  EXPECT_EQ(uptime_text(3723), "1:02:03");
  EXPECT_EQ(uptime_text(90061), "1 d 1:01:01");
  EXPECT_EQ(uptime_text(-1), "0:00:00");
}

}  // namespace
}  // namespace ipf::top
