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
  explicit TestBroadcasts(int engines = 0, const BroadcastOptions& options = {})
      : machine_(options) {
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
  Lines undeliverable(const std::string& id, int engine) {
    return test::lines(
        step(LegUndeliverable{.original_msg_id = id, .engine_uuid = target(engine).uuid}));
  }
  /// `<call> as one of <legs>` for each leg that this engine has not answered.
  [[nodiscard]] Lines unanswered(int engine) const {
    Lines out;
    for (const auto& leg : machine_.unanswered_at(target(engine).uuid)) {
      EXPECT_EQ(leg.target, target(engine));
      out.push_back(leg.msg_id + " as one of " + std::to_string(leg.coalesced));
    }
    return out;
  }
  [[nodiscard]] std::size_t open_calls() const { return machine_.open_calls(); }
  [[nodiscard]] std::size_t open_legs() const { return machine_.open_legs(); }

 private:
  BroadcastMachine machine_;
};

Lines dropped(const std::string& engine) {
  return {"log: broadcast::dropped a reply of engine '" + engine +
          "' for a call that it does not run"};
}

TEST(PlainBroadcast, EachTargetGetsALegAndEachReplyIsForwardedAsItComes) {
  TestBroadcasts calls(3);
  EXPECT_EQ(calls.plain("m", {2, 0, 1}), Lines{"legs m to e2 e0 e1"});
  EXPECT_EQ(calls.reply("m", 1, "one"), Lines{"forward from e1: one"});
  EXPECT_EQ(calls.reply("m", 2, "two", false), Lines{"forward from e2: two"});
  EXPECT_EQ(calls.open_calls(), 1U);
  EXPECT_EQ(calls.reply("m", 0, "zero"), Lines{"forward from e0: zero"});
  EXPECT_EQ(calls.open_calls(), 0U);
}

TEST(PlainBroadcast, WhatAnEngineHasNotAnsweredIsToldInOrderAsItWasSent) {
  TestBroadcasts calls(2);
  calls.plain("first", {0, 1});
  calls.coalescing("second", {0, 1, 7});
  calls.plain("third", {0});
  EXPECT_EQ(calls.unanswered(0),
            (Lines{"first as one of 0", "second as one of 2", "third as one of 0"}));
  calls.reply("first", 0, "done");
  calls.reply("second", 0, "done");
  EXPECT_EQ(calls.unanswered(0), Lines{"third as one of 0"});
  EXPECT_EQ(calls.unanswered(1), (Lines{"first as one of 0", "second as one of 2"}));
  EXPECT_EQ(calls.unanswered(5), Lines{});
}

TEST(PlainBroadcast, AnUnknownEngineFailsItsOwnLegOnly) {
  TestBroadcasts calls(1);
  EXPECT_EQ(calls.plain("m", {7, 0}), (Lines{"fail leg m of e7: EngineError", "legs m to e0"}));
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
  EXPECT_EQ(calls.plain("m", {0, 0, 0}), Lines{"legs m to e0"});
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
      Lines{"answer m for e0=0 e1=1 e2=2 with zero two, Engine 'e1' died while running task 'm', "
            "for the record"})
      << "clients end the call themselves when they hear the notification";
}

TEST(CoalescingBroadcast, TheLastEngineLeavingEndsTheCall) {
  TestBroadcasts calls(1);
  calls.coalescing("m", {0});
  EXPECT_EQ(
      calls.leave(0),
      Lines{"answer m for e0=0 with, Engine 'e0' died while running task 'm', for the record"});
}

TEST(CoalescingBroadcast, AnUnknownEngineIsTheErrorAndTheOthersStillRun) {
  TestBroadcasts calls(1);
  EXPECT_EQ(calls.coalescing("m", {5, 0}), (Lines{"note m", "legs m to e0"}));
  EXPECT_EQ(
      calls.reply("m", 0, "zero"),
      Lines{
          "answer m for e5=5 e0=0 with zero, Engine 'e5' is not registered with this controller"});
}

TEST(CoalescingBroadcast, NoTargetsAreAnsweredAtOnce) {
  TestBroadcasts calls;
  EXPECT_EQ(calls.coalescing("m", {}), (Lines{"note m", "answer m for with"}));
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
  EXPECT_EQ(calls.plain("m", {1}), Lines{"legs m to e1"});
}

TEST(Broadcast, AnEngineThatComesBackOwesNothing) {
  TestBroadcasts calls(1);
  calls.plain("m", {0});
  calls.leave(0);
  calls.join(0);
  EXPECT_EQ(calls.reply("m", 0, "late"), dropped("e0"));
  EXPECT_EQ(calls.plain("n", {0}), Lines{"legs n to e0"});
}

TEST(Broadcast, ManyCallsOfOneEngineEndInTheirOrder) {
  TestBroadcasts calls(1);
  calls.coalescing("b", {0});
  calls.coalescing("a", {0});
  calls.join(0);
  EXPECT_EQ(
      calls.leave(0),
      (Lines{"answer b for e0=0 with, Engine 'e0' died while running task 'b', for the record",
             "answer a for e0=0 with, Engine 'e0' died while running task 'a', for the record"}));
}

TEST(Broadcast, ALegThatCannotBeSentEndsWithAnError) {
  TestBroadcasts calls(2);
  calls.plain("m", {0, 1});
  EXPECT_EQ(calls.undeliverable("m", 0), Lines{"fail leg m of e0: EngineError"});
  EXPECT_EQ(calls.undeliverable("m", 0), Lines{}) << "it has ended";
  EXPECT_EQ(calls.reply("m", 0, "late"), dropped("e0"));
  EXPECT_EQ(calls.reply("m", 1, "one"), Lines{"forward from e1: one"});
  calls.coalescing("n", {0, 1});
  calls.reply("n", 1, "one");
  EXPECT_EQ(calls.undeliverable("n", 0),
            Lines{"answer n for e0=0 e1=1 with one, Engine 'e0' cannot be reached"});
  EXPECT_EQ(calls.open_calls(), 0U);
}

// ---- limits -------------------------------------------------------------------------------------

constexpr std::string_view too_many =
    "the controller has too many unfinished broadcasts; wait for some of them to end";

TEST(BroadcastLimits, ACallTooManyIsRefusedAndTheOpenOnesGoOn) {
  TestBroadcasts calls(2, {.calls_max = 1});
  calls.plain("m", {0});
  EXPECT_EQ(calls.plain("n", {0, 1}),
            (Lines{"fail leg n of e0: RuntimeError", "fail leg n of e1: RuntimeError"}));
  EXPECT_EQ(calls.coalescing("n", {0, 1}),
            (Lines{"note n", "answer n for e0=0 e1=1 with, " + std::string(too_many)}));
  EXPECT_EQ(calls.reply("m", 0, "zero"), Lines{"forward from e0: zero"});
  EXPECT_EQ(calls.plain("n", {0}), Lines{"legs n to e0"}) << "there is room again";
}

TEST(BroadcastLimits, LegsAreCounted) {
  TestBroadcasts calls(3, {.legs_max = 3});
  calls.plain("m", {0, 1});
  EXPECT_EQ(calls.plain("n", {0, 1}).size(), 2U);
  EXPECT_EQ(calls.open_legs(), 2U);
  EXPECT_EQ(calls.plain("o", {2}), Lines{"legs o to e2"});
}

TEST(BroadcastLimits, BytesOfRequestsAndCollectedRepliesAreBounded) {
  TestBroadcasts calls(2, {.bytes_max = 1000});
  calls.coalescing("m", {0, 1});
  EXPECT_EQ(calls.reply("m", 0, std::string(2000, 'x')), Lines{});
  const Lines answer = calls.reply("m", 1, "one");
  ASSERT_EQ(answer.size(), 1U);
  EXPECT_NE(answer[0].find("with one, the collected results of this broadcast are larger"),
            std::string::npos);
  const std::string big(2000, 'b');
  EXPECT_EQ(calls.plain(big, {0}), Lines{"fail leg " + big + " of e0: RuntimeError"});
  EXPECT_EQ(calls.open_calls(), 0U);
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
    for (auto at = calls_.begin(); at != calls_.end();) {  // names are in the order of submission
      const auto leg = at->second.legs.find(engine);
      if (leg != at->second.legs.end() && leg->second == open) {
        leg->second = lost;
        at->second.told = false;
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
    std::string legs;
    for (const int engine : engines) {
      if (call.legs.contains(engine)) {
        continue;
      }
      call.order.push_back(engine);
      call.legs[engine] = engines_.contains(engine) ? open : lost;
      if (engines_.contains(engine)) {
        legs += " " + target(engine).uuid;
      } else if (coalescing) {
        lose(call, "Engine '" + target(engine).uuid + "' is not registered with this controller");
      } else {
        out.push_back("fail leg " + id + " of " + target(engine).uuid + ": EngineError");
      }
    }
    if (coalescing) {
      out.push_back("note " + id);
    }
    if (!legs.empty()) {
      out.push_back("legs " + id + " to" + legs);
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
    bool told{true};
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
                    (call.failure.empty() ? "" : ", " + call.failure) +
                    (call.told ? "" : ", for the record"));
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
  const auto name = [](int number) { return "m" + std::to_string(1'000'000 + number); };
  const auto recent = [&] { return name(next - static_cast<int>(rng.below(6))); };
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
        const std::string id = name(++next);
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
