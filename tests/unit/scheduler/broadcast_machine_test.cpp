#include "scheduler/broadcast_machine.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "unit/core/core_testing.hpp"
#include "unit/scheduler/scheduler_testing.hpp"

namespace ipf {
namespace {

using test::Lines;

/// Engine e<n> has the id n.
BroadcastTarget target(int number) {
  return {"e" + std::to_string(number), EngineId{number}};
}

class TestBroadcasts {
 public:
  explicit TestBroadcasts(int engines = 0) {
    for (int i = 0; i < engines; ++i) {
      join(i);
    }
  }
  BroadcastActions step(BroadcastEvent event) {
    BroadcastActions actions;
    machine_.step(std::move(event), actions);
    machine_.check_invariants();
    return actions;
  }
  Lines join(int engine) { return test::lines(step(EngineJoined{.uuid = target(engine).uuid})); }
  Lines leave(int engine) { return test::lines(step(EngineLeft{.uuid = target(engine).uuid})); }
  Lines submit(const std::string& id, bool coalescing, const std::vector<int>& engines) {
    std::vector<BroadcastTarget> targets;
    std::ranges::transform(engines, std::back_inserter(targets), target);
    return test::lines(step(BroadcastSubmitted{.msg_id = id,
                                               .coalescing = coalescing,
                                               .targets = std::move(targets),
                                               .request = test::request_message(id)}));
  }
  Lines plain(const std::string& id, const std::vector<int>& engines) {
    return submit(id, false, engines);
  }
  Lines coalescing(const std::string& id, const std::vector<int>& engines) {
    return submit(id, true, engines);
  }
  Lines reply(const std::string& id, int engine, const std::string& text, bool succeeded = true) {
    const std::string uuid = target(engine).uuid;
    return test::lines(step(BroadcastReplied{.original_msg_id = id,
                                             .engine_uuid = uuid,
                                             .succeeded = succeeded,
                                             .reply = test::reply_message(uuid, text)}));
  }
  [[nodiscard]] std::size_t open_calls() const { return machine_.open_calls(); }

 private:
  BroadcastMachine machine_;
};

Lines dropped(const std::string& engine) {
  return {"log: broadcast::dropped a reply of engine '" + engine +
          "' for a call that it does not run"};
}

TEST(PlainBroadcast, EachTargetGetsALegAndEachReplyIsForwardedAsItComes) {
  TestBroadcasts calls(3);
  EXPECT_EQ(calls.plain("m", {2, 0, 1}), (Lines{"leg m to e2", "leg m to e0", "leg m to e1"}));
  EXPECT_EQ(calls.reply("m", 1, "one"), Lines{"forward from e1: one"});
  EXPECT_EQ(calls.reply("m", 2, "two", false), Lines{"forward from e2: two"});
  EXPECT_EQ(calls.open_calls(), 1U);
  EXPECT_EQ(calls.reply("m", 0, "zero"), Lines{"forward from e0: zero"});
  EXPECT_EQ(calls.open_calls(), 0U);
}

TEST(PlainBroadcast, AnUnknownEngineFailsItsOwnLegOnly) {
  TestBroadcasts calls(1);
  EXPECT_EQ(calls.plain("m", {7, 0}), (Lines{"fail leg m of e7: EngineError", "leg m to e0"}));
  EXPECT_EQ(calls.reply("m", 0, "zero"), Lines{"forward from e0: zero"});
}

TEST(PlainBroadcast, OnlyUnknownEnginesLeaveNothingOpen) {
  TestBroadcasts calls;
  EXPECT_EQ(calls.plain("m", {7, 8}),
            (Lines{"fail leg m of e7: EngineError", "fail leg m of e8: EngineError"}));
  EXPECT_EQ(calls.open_calls(), 0U);
}

TEST(PlainBroadcast, ALegOfALostEngineEndsSilently) {
  TestBroadcasts calls(2);
  calls.plain("m", {0, 1});
  EXPECT_EQ(calls.leave(0), Lines{}) << "the client fails it when it hears the notification";
  EXPECT_EQ(calls.reply("m", 0, "late"), dropped("e0"));
  EXPECT_EQ(calls.leave(1), Lines{});
  EXPECT_EQ(calls.open_calls(), 0U);
}

TEST(PlainBroadcast, ATargetNamedTwiceGetsOneLeg) {
  TestBroadcasts calls(1);
  EXPECT_EQ(calls.plain("m", {0, 0, 0}), Lines{"leg m to e0"});
  EXPECT_EQ(calls.reply("m", 0, "zero").size(), 1U);
  EXPECT_EQ(calls.open_calls(), 0U);
}

TEST(PlainBroadcast, NoTargetsIsNothing) {
  TestBroadcasts calls(1);
  EXPECT_EQ(calls.plain("m", {}), Lines{});
  EXPECT_EQ(calls.open_calls(), 0U);
}

TEST(CoalescingBroadcast, OneAnswerComesInTheOrderOfTheTargets) {
  TestBroadcasts calls(4);
  calls.coalescing("m", {3, 1, 0, 2});
  EXPECT_EQ(calls.reply("m", 2, "two"), Lines{});
  EXPECT_EQ(calls.reply("m", 0, "zero"), Lines{});
  EXPECT_EQ(calls.reply("m", 3, "three"), Lines{});
  EXPECT_EQ(calls.reply("m", 1, "one"),
            Lines{"answer m for e3=3 e1=1 e0=0 e2=2 with three one zero two"});
  EXPECT_EQ(calls.open_calls(), 0U);
}

TEST(CoalescingBroadcast, AnErrorIsNeverHiddenByALaterSuccess) {
  TestBroadcasts calls(3);
  calls.coalescing("m", {0, 1, 2});
  calls.reply("m", 2, "bad2", false);
  calls.reply("m", 1, "bad1", false);
  EXPECT_EQ(calls.reply("m", 0, "good"),
            Lines{"answer m for e0=0 e1=1 e2=2 with good bad1 bad2, failed 1"})
      << "the first failure in target order";
}

TEST(CoalescingBroadcast, ALostEngineMakesTheWholeCallAnError) {
  TestBroadcasts calls(3);
  calls.coalescing("m", {0, 1, 2});
  calls.reply("m", 0, "zero");
  EXPECT_EQ(calls.leave(1), Lines{});
  EXPECT_EQ(
      calls.reply("m", 2, "two"),
      Lines{"answer m for e0=0 e1=1 e2=2 with zero two, Engine 'e1' died while running task 'm'"});
}

TEST(CoalescingBroadcast, TheLastEngineLeavingEndsTheCall) {
  TestBroadcasts calls(1);
  calls.coalescing("m", {0});
  EXPECT_EQ(calls.leave(0),
            Lines{"answer m for e0=0 with, Engine 'e0' died while running task 'm'"});
}

TEST(CoalescingBroadcast, AnUnknownEngineIsTheErrorAndTheOthersStillRun) {
  TestBroadcasts calls(1);
  EXPECT_EQ(calls.coalescing("m", {5, 0}), Lines{"leg m to e0"});
  EXPECT_EQ(
      calls.reply("m", 0, "zero"),
      Lines{
          "answer m for e5=5 e0=0 with zero, Engine 'e5' is not registered with this controller"});
}

TEST(CoalescingBroadcast, NoTargetsAreAnsweredAtOnce) {
  TestBroadcasts calls;
  EXPECT_EQ(calls.coalescing("m", {}), Lines{"answer m for with"});
  EXPECT_EQ(calls.open_calls(), 0U);
}

TEST(Broadcast, ASecondReplyOfAnEngineIsDropped) {
  for (const bool coalescing : {false, true}) {
    TestBroadcasts calls(2);
    calls.submit("m", coalescing, {0, 1});
    calls.reply("m", 0, "first");
    EXPECT_EQ(calls.reply("m", 0, "second"), dropped("e0"));
    EXPECT_EQ(calls.open_calls(), 1U);
  }
}

TEST(Broadcast, AReplyOfAnEngineThatWasNotAskedIsDropped) {
  TestBroadcasts calls(2);
  calls.plain("m", {0});
  EXPECT_EQ(calls.reply("m", 1, "x"), dropped("e1"));
  EXPECT_EQ(calls.reply("other", 0, "x"), dropped("e0"));
  EXPECT_EQ(calls.reply("", 0, "x"), dropped("e0"));
}

TEST(Broadcast, ASecondCallWithTheMsgIdOfAnOpenOneIsDropped) {
  TestBroadcasts calls(2);
  calls.coalescing("m", {0});
  EXPECT_EQ(calls.plain("m", {1}),
            Lines{"log: broadcast::dropped a second call with the msg_id of an open one"});
  EXPECT_EQ(calls.reply("m", 0, "zero"), Lines{"answer m for e0=0 with zero"});
  EXPECT_EQ(calls.plain("m", {1}), Lines{"leg m to e1"});
}

TEST(Broadcast, AnEngineThatComesBackOwesNothing) {
  TestBroadcasts calls(1);
  calls.plain("m", {0});
  calls.leave(0);
  calls.join(0);
  EXPECT_EQ(calls.reply("m", 0, "late"), dropped("e0"));
  EXPECT_EQ(calls.plain("n", {0}), Lines{"leg n to e0"});
}

TEST(Broadcast, ManyCallsOfOneEngineEndInTheOrderOfTheirIds) {
  TestBroadcasts calls(1);
  calls.coalescing("b", {0});
  calls.coalescing("a", {0});
  calls.join(0);
  EXPECT_EQ(calls.leave(0),
            (Lines{"answer a for e0=0 with, Engine 'e0' died while running task 'a'",
                   "answer b for e0=0 with, Engine 'e0' died while running task 'b'"}));
}

/// All calls by the plainest means; it says what the machine has to answer.
class NaiveBroadcasts {
 public:
  Lines join(int engine) {
    engines_.insert(engine);
    return {};
  }
  Lines leave(int engine) {
    engines_.erase(engine);
    Lines out;
    for (auto at = calls_.begin(); at != calls_.end();) {
      const auto leg = at->second.legs.find(engine);
      if (leg != at->second.legs.end() && leg->second == open) {
        leg->second = lost;
        lose(at->second,
             "Engine '" + target(engine).uuid + "' died while running task '" + at->first + "'");
      }
      at = ended(at, out);
    }
    return out;
  }
  Lines submit(const std::string& id, bool coalescing, const std::vector<int>& engines) {
    Lines out;
    Call call{.coalescing = coalescing};
    for (const int engine : engines) {
      if (call.legs.contains(engine)) {
        continue;
      }
      call.order.push_back(engine);
      call.legs[engine] = engines_.contains(engine) ? open : lost;
      if (engines_.contains(engine)) {
        out.push_back("leg " + id + " to " + target(engine).uuid);
      } else if (coalescing) {
        lose(call, "Engine '" + target(engine).uuid + "' is not registered with this controller");
      } else {
        out.push_back("fail leg " + id + " of " + target(engine).uuid + ": EngineError");
      }
    }
    ended(calls_.emplace(id, std::move(call)).first, out);
    return out;
  }
  Lines reply(const std::string& id, int engine, const std::string& text, bool succeeded) {
    const auto call = calls_.find(id);
    if (call == calls_.end() || !call->second.legs.contains(engine) ||
        call->second.legs.at(engine) != open) {
      return dropped(target(engine).uuid);
    }
    Lines out;
    call->second.legs[engine] = text;
    if (!succeeded) {
      call->second.failed.insert(engine);
    }
    if (!call->second.coalescing) {
      out.push_back("forward from " + target(engine).uuid + ": " + text);
    }
    ended(call, out);
    return out;
  }
  [[nodiscard]] std::size_t open_calls() const { return calls_.size(); }

 private:
  inline static const std::string open = "<open>";
  inline static const std::string lost = "<lost>";
  struct Call {
    bool coalescing{};
    std::vector<int> order{};
    std::map<int, std::string> legs{};
    std::set<int> failed{};
    std::string failure{};
  };
  static void lose(Call& call, const std::string& why) {
    if (call.failure.empty()) {
      call.failure = why;
    }
  }
  std::map<std::string, Call>::iterator ended(std::map<std::string, Call>::iterator at,
                                              Lines& out) {
    const Call& call = at->second;
    if (std::ranges::any_of(call.legs, [](const auto& leg) { return leg.second == open; })) {
      return std::next(at);
    }
    if (call.coalescing) {
      std::string targets;
      std::string replies;
      std::string failed;
      int count = 0;
      for (const int engine : call.order) {
        targets += " " + target(engine).uuid + "=" + std::to_string(engine);
        if (call.legs.at(engine) == lost) {
          continue;
        }
        replies += " " + call.legs.at(engine);
        if (call.failed.contains(engine) && failed.empty()) {
          failed = ", failed " + std::to_string(count);
        }
        ++count;
      }
      out.push_back("answer " + at->first + " for" + targets + " with" + replies + failed +
                    (call.failure.empty() ? "" : ", " + call.failure));
    }
    return calls_.erase(at);
  }
  std::set<int> engines_;
  std::map<std::string, Call> calls_;
};

TEST(BroadcastProperty, AnswersAsANaiveModelDoes) {
  const std::uint64_t seed = test::new_seed();
  SCOPED_TRACE(test::seed_note(seed));
  Rng rng(seed);
  TestBroadcasts calls;
  NaiveBroadcasts naive;
  int next = 0;
  const auto recent = [&] { return "m" + std::to_string(next - static_cast<int>(rng.below(6))); };
  for (int step = 0; step < 6000; ++step) {
    const int engine = static_cast<int>(rng.below(6));
    Lines got;
    Lines expected;
    switch (rng.below(10)) {
      case 0:
        got = calls.join(engine);
        expected = naive.join(engine);
        break;
      case 1:
        if (rng.below(3) == 0) {
          got = calls.leave(engine);
          expected = naive.leave(engine);
        }
        break;
      case 2: {
        std::vector<int> engines(rng.below(5));
        std::ranges::generate(engines, [&] { return static_cast<int>(rng.below(6)); });
        const std::string id = "m" + std::to_string(++next);
        const bool coalescing = rng.below(2) == 0;
        got = calls.submit(id, coalescing, engines);
        expected = naive.submit(id, coalescing, engines);
        break;
      }
      default: {
        const std::string id = recent();
        const bool succeeded = rng.below(4) != 0;
        got = calls.reply(id, engine, std::to_string(step), succeeded);
        expected = naive.reply(id, engine, std::to_string(step), succeeded);
      }
    }
    ASSERT_EQ(got, expected) << "step " << step;
    ASSERT_EQ(calls.open_calls(), naive.open_calls());
  }
  for (int engine = 0; engine < 6; ++engine) {
    EXPECT_EQ(calls.leave(engine), naive.leave(engine));
  }
  EXPECT_EQ(calls.open_calls(), 0U);
}

}  // namespace
}  // namespace ipf
