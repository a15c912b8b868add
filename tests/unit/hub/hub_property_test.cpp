#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "hub/hub_machine.hpp"
#include "hub/store_dict.hpp"
#include "unit/hub/hub_testing.hpp"

namespace ipf {
namespace {

using test::all;
using test::parsed;

/// Random events in any order, also impossible ones: whatever peers do, the hub stays consistent
/// and what it tells about engines makes sense to a client.
class RandomHub {
 public:
  explicit RandomHub(std::uint64_t seed)
      : rng_(seed),
        store_({.record_limit = 20, .size_limit = 50'000}),
        hub_(store_,
             {.engines = {.registration_timeout = test::ms(300),
                          .pending_max = 4,
                          .active_max = 6,
                          .lost_max = 3},
              .ledger = {.pending_max = 30, .completed_max = 20, .completed_per_engine_max = 5}}) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      hub_.pass(static_cast<std::int64_t>(rng_.below(30)));
      check(one_step());
      store_.check_invariants();
    }
  }

 private:
  std::string engine() { return "e" + std::to_string(rng_.below(8)); }
  std::string task() { return "t" + std::to_string(rng_.below(50)); }
  TaskQueue queue() { return static_cast<TaskQueue>(rng_.below(3)); }
  std::string engine_or_none() { return rng_.below(2) == 0 ? std::string() : engine(); }

  HubActions one_step() {
    switch (rng_.below(12)) {
      case 0: {
        Json content = {{"uuid", engine()}};
        if (rng_.below(3) == 0) {
          content["id"] = rng_.below(10);
        }
        return asked("registration_request", content);
      }
      case 1:
        return asked("unregistration_request",
                     {{"id", rng_.below(2) == 0 ? Json() : Json(rng_.below(10))}});
      case 2:
      case 3:
        return hub_.step(HeartStarted{.uuid = engine()});
      case 4:
        return rng_.below(3) == 0 ? hub_.step(HeartStopped{.uuid = engine()})
                                  : hub_.step(TimePassed{});
      case 5:
      case 6: {
        const auto id = task();
        return hub_.step(RequestSeen{.queue = queue(),
                                     .msg_id = id,
                                     .engine_uuid = engine_or_none(),
                                     .request = test::apply_request(id)});
      }
      case 7:
        return hub_.step(TaskAssigned{.msg_id = task(), .engine_uuid = engine()});
      case 8:
      case 9: {
        const auto id = task();
        return hub_.step(ReplySeen{.queue = queue(),
                                   .msg_id = id,
                                   .engine_uuid = engine_or_none(),
                                   .reply = test::apply_reply(id, "e")});
      }
      case 10:
        return hub_.step(OutputSeen{.msg_type = rng_.below(8) == 0 ? "shutdown_reply" : "stream",
                                    .parent_msg_id = rng_.below(5) == 0 ? "" : task(),
                                    .sender_session = engine(),
                                    .output = test::output(R"({"name": "stdout", "text": "x"})")});
      default:
        return query();
    }
  }

  HubActions asked(const char* type, const Json& content) {
    return hub_.request(type, content, engine());
  }

  HubActions query() {
    const Json targets = rng_.below(2) == 0 ? Json() : Json({rng_.below(9), engine()});
    HubActions actions;
    switch (rng_.below(8)) {
      case 0:
        actions = asked("connection_request", Json::object());
        break;
      case 1:
        actions = asked("queue_request", {{"targets", targets}, {"verbose", rng_.below(2) == 0}});
        break;
      case 2:
        actions = asked("load_request", {{"targets", targets}});
        break;
      case 3:
        actions = asked("result_request",
                        {{"msg_ids", {task(), task()}}, {"status_only", rng_.below(2) == 0}});
        break;
      case 4:
        actions = asked("db_request", {{"query", {{"msg_id", {{"$gt", task()}}}}},
                                       {"keys", {"buffers", "header"}}});
        break;
      case 5:
        actions = asked("purge_request",
                        {{"msg_ids", rng_.below(2) == 0 ? Json("all") : Json({task()})}});
        break;
      case 6:
        actions = asked("resubmit_request", {{"msg_ids", {task()}}});
        break;
      default:
        actions = asked("history_request", Json::object());
    }
    EXPECT_EQ(all<SendHubReply>(actions).size(), 1U) << "each question has one answer";
    return actions;
  }

  /// Follows the actions as a scheduler and a client would.
  void check(const HubActions& actions) {
    for (const auto& action : actions) {
      if (const auto* announced = std::get_if<AnnounceEngine>(&action)) {
        EXPECT_TRUE(engines_.try_emplace(announced->id.value, announced->uuid).second);
      } else if (const auto* retired = std::get_if<RetireEngine>(&action)) {
        ASSERT_TRUE(engines_.contains(retired->id.value));
        EXPECT_EQ(engines_.at(retired->id.value), retired->uuid);
        engines_.erase(retired->id.value);
      } else if (const auto* expected = std::get_if<ExpectHeart>(&action)) {
        EXPECT_TRUE(hearts_.insert(expected->uuid).second) << "expected twice";
      } else if (const auto* forgotten = std::get_if<ForgetHeart>(&action)) {
        EXPECT_EQ(hearts_.erase(forgotten->uuid), 1U);
      } else if (const auto* note = std::get_if<PublishNotification>(&action)) {
        const Json content = parsed(note->content);
        EXPECT_EQ(engines_.contains(content.at("id").get<int>()),
                  note->msg_type == "registration_notification");
      } else if (const auto* reply = std::get_if<SendHubReply>(&action)) {
        EXPECT_TRUE(parsed(reply->content).contains("status"));
      }
    }
    std::map<int, std::string> active;
    for (const auto& [id, uuid] : hub_.machine().engines().active()) {
      active.emplace(id.value, uuid);
    }
    EXPECT_EQ(active, engines_);
    for (auto heart = hearts_.begin(); heart != hearts_.end();) {
      // A stopped heart is forgotten by the heart's machine itself.
      heart = is_known(*heart) ? std::next(heart) : hearts_.erase(heart);
    }
  }
  bool is_known(const std::string& uuid) {
    const auto& engines = hub_.machine().engines();
    return engines.is_pending(uuid) || engines.find(uuid);
  }

  Rng rng_;
  DictStore store_;
  test::TestHub hub_;
  std::map<int, std::string> engines_;
  std::set<std::string> hearts_;
};

TEST(HubProperty, AnyOrderOfEventsKeepsTheHubConsistent) {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomHub(seed).run(1200);
    if (testing::Test::HasFailure()) {
      break;
    }
  }
}

}  // namespace
}  // namespace ipf
