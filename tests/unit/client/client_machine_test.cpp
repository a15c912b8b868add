#include "client/client_machine.hpp"

#include <chrono>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "client/request_writer.hpp"
#include "core/rng.hpp"

namespace ipf::client {
namespace {

using std::chrono::milliseconds;

constexpr TimePoint start{1'000'000'000};
constexpr Duration grace = milliseconds(500);

Message any_message(std::size_t bytes = 0) {
  FramesBuilder builder;
  builder.add(delimiter);
  for (const std::string_view frame : {"", "{}", "{}", "{}", "{}"}) {
    builder.add(frame);
  }
  const std::string padding(bytes, 'x');
  builder.add(padding);
  auto split = Message::split(builder.finish());
  return std::move(split).value();
}

/// Drives a machine and checks its invariants after each step.
class Machine {
 public:
  explicit Machine(ClientMachineOptions options = {}) : machine_(prepare(std::move(options))) {}

  ClientActions step(ClientEvent event) {
    ClientActions actions;
    machine_.step(now, std::move(event), actions);
    machine_.check_invariants();
    return actions;
  }
  void join(int id, const std::string& uuid) { step(EngineRegistered{{EngineId{id}, uuid}}); }
  ClientActions leave(int id, const std::string& uuid) {
    return step(EngineUnregistered{{EngineId{id}, uuid}});
  }
  ClientActions submit(RequestNumber number, Channel channel, const std::string& target = "") {
    return step(RequestSubmitted{{.number = number, .channel = channel, .target = target}});
  }
  ClientActions reply(RequestNumber number, const std::string& engine = "", bool follows = true) {
    return step(ReplyArrived{.number = number,
                             .engine_uuid = engine,
                             .output_follows = follows,
                             .reply = any_message()});
  }
  ClientActions pass(Duration time) {
    now = now + time;
    return step(TimePassed{});
  }
  ClientMachine& operator*() { return machine_; }
  ClientMachine* operator->() { return &machine_; }

  TimePoint now = start;

 private:
  static ClientMachineOptions prepare(ClientMachineOptions options) {
    options.msg_id_prefix = "s_1_";
    options.lost_output_grace = grace;
    options.shutdown_grace = grace;
    return options;
  }
  ClientMachine machine_;
};

/// The actions in short: "complete 1", "fail 1 EngineError", "end 1", "send connection_request".
std::vector<std::string> names(const ClientActions& actions) {
  std::vector<std::string> out;
  for (const auto& action : actions) {
    if (const auto* send = std::get_if<SendRequest>(&action)) {
      out.push_back("send " + send->request.type);
    } else if (const auto* complete = std::get_if<CompleteRequest>(&action)) {
      out.push_back("complete " + std::to_string(complete->number));
    } else if (const auto* fail = std::get_if<FailRequest>(&action)) {
      out.push_back("fail " + std::to_string(fail->number) + " " + fail->failure.ename);
    } else if (const auto* keep = std::get_if<KeepOutput>(&action)) {
      out.push_back("keep " + std::to_string(keep->number) + " " + keep->type);
    } else if (const auto* mark = std::get_if<MarkTruncated>(&action)) {
      out.push_back("truncated " + std::to_string(mark->number));
    } else if (const auto* end = std::get_if<EndOutput>(&action)) {
      out.push_back("end " + std::to_string(end->number));
    } else if (const auto* engines = std::get_if<PublishEngines>(&action)) {
      std::string text = "engines";
      for (const auto& engine : engines->engines) {
        text += " " + std::to_string(engine.id.value) + "=" + engine.uuid;
      }
      out.push_back(text);
    } else if (const auto* again = std::get_if<SendAgain>(&action)) {
      out.push_back("again " + again->engine_uuid);
    } else if (const auto* close = std::get_if<CloseClient>(&action)) {
      out.push_back("close: " + close->reason);
    } else if (std::holds_alternative<ClientNote>(action)) {
      out.emplace_back("note");
    }
  }
  return out;
}

using Names = std::vector<std::string>;

EnginesListed answer(std::uint64_t question, std::vector<Engine> engines) {
  return {first_own_number + question, std::move(engines)};
}

TEST(ClientMachineTest, AsksForTheEnginesAtTheStartAndAgainAfterTheFirstAnswer) {
  Machine machine;
  EXPECT_EQ(names(machine.step(Started{})), Names{"send connection_request"});
  EXPECT_EQ(machine->next_deadline(), TimePoint::never());
  EXPECT_EQ(names(machine.step(answer(0, {{EngineId{1}, "b"}, {EngineId{0}, "a"}}))),
            Names{"engines 0=a 1=b"});
  EXPECT_EQ(machine->next_deadline(), start + milliseconds(250));
  EXPECT_EQ(names(machine.pass(milliseconds(250))), Names{"send connection_request"});
  EXPECT_EQ(names(machine.pass(milliseconds(750))), Names{"send connection_request"});
  EXPECT_EQ(names(machine.pass(milliseconds(4000))), Names{"send connection_request"});
  EXPECT_EQ(machine->next_deadline(), TimePoint::never());
}

TEST(ClientMachineTest, PublishesAnEmptyListOnceSoThatTheConnectionCounts) {
  Machine machine;
  machine.step(Started{});
  EXPECT_EQ(names(machine.step(answer(0, {}))), Names{"engines"});
  machine.pass(milliseconds(250));
  EXPECT_EQ(names(machine.step(answer(1, {}))), Names{});
}

TEST(ClientMachineTest, ANotificationBeforeTheFirstAnswerIsNotPublishedAlone) {
  Machine machine;
  machine.step(Started{});
  EXPECT_EQ(names(machine.step(EngineRegistered{{EngineId{3}, "c"}})), Names{});
  EXPECT_EQ(names(machine.step(answer(0, {{EngineId{0}, "a"}}))), Names{"engines 0=a 3=c"});
}

TEST(ClientMachineTest, AnEngineMissingInAnAnswerIsLostOnlyIfItWasKnownWhenWeAsked) {
  Machine machine;
  machine.step(Started{});
  machine.step(answer(0, {{EngineId{0}, "a"}}));
  machine.pass(milliseconds(250));
  // Registered after the question was sent; the answer may have been made before that.
  machine.join(1, "b");
  EXPECT_EQ(names(machine.step(answer(1, {}))), Names{"engines 1=b"});
}

TEST(ClientMachineTest, AnAnswerToAQuestionThatWasNeverAskedIsIgnored) {
  Machine machine;
  machine.step(Started{});
  EXPECT_EQ(names(machine.step(answer(7, {{EngineId{0}, "a"}}))), Names{});
  EXPECT_EQ(machine->engine_count(), 0U);
}

TEST(ClientMachineTest, ADirectRequestIsDoneAfterReplyAndIdle) {
  Machine machine;
  machine.join(0, "a");
  EXPECT_EQ(names(machine.submit(1, Channel::mux, "a")), Names{"send "});
  EXPECT_EQ(names(machine.reply(1, "a")), Names{"complete 1"});
  EXPECT_EQ(machine->request_count(), 1U);
  EXPECT_EQ(names(machine.step(OutputEnded{1})), Names{"end 1"});
  EXPECT_EQ(machine->request_count(), 0U);
}

TEST(ClientMachineTest, IdleBeforeTheReplyEndsTheOutputOnce) {
  Machine machine;
  machine.submit(1, Channel::task);
  EXPECT_EQ(names(machine.step(OutputEnded{1})), Names{"end 1"});
  EXPECT_EQ(names(machine.step(OutputEnded{1})), Names{});
  EXPECT_EQ(names(machine.reply(1)), Names{"complete 1"});
  EXPECT_EQ(machine->request_count(), 0U);
}

TEST(ClientMachineTest, NoOutputIsAwaitedWhenNoEngineMadeTheReply) {
  Machine machine;
  machine.submit(1, Channel::task);
  EXPECT_EQ(names(machine.reply(1, "", false)), (Names{"complete 1", "end 1"}));
  EXPECT_EQ(machine->request_count(), 0U);
}

TEST(ClientMachineTest, QuestionsAndControlRequestsHaveNoOutput) {
  Machine machine;
  machine.join(0, "a");
  machine.submit(1, Channel::query);
  machine.submit(2, Channel::control, "a");
  EXPECT_EQ(names(machine.reply(1)), (Names{"complete 1", "end 1"}));
  EXPECT_EQ(names(machine.reply(2)), (Names{"complete 2", "end 2"}));
}

TEST(ClientMachineTest, ALostEngineFailsItsDirectRequestsInOrderAndNoOthers) {
  Machine machine;
  machine.step(Started{});
  machine.step(answer(0, {{EngineId{4}, "a"}, {EngineId{5}, "b"}}));
  machine.submit(7, Channel::mux, "a");
  machine.submit(3, Channel::control, "a");
  machine.submit(8, Channel::mux, "b");
  machine.submit(9, Channel::task);
  const auto actions = machine.leave(4, "a");
  EXPECT_EQ(names(actions),
            (Names{"fail 3 EngineError", "end 3", "fail 7 EngineError", "engines 5=b"}));
  EXPECT_EQ(std::get<FailRequest>(actions[2]).failure.evalue,
            "Engine 4 died while running task 's_1_7'");
  EXPECT_EQ(names(machine.pass(grace)).back(), "end 7");
  EXPECT_EQ(machine->request_count(), 2U);
}

TEST(ClientMachineTest, ALateReplyOfALostEngineIsDropped) {
  Machine machine;
  machine.join(0, "a");
  machine.submit(1, Channel::mux, "a");
  machine.leave(0, "a");
  EXPECT_EQ(names(machine.reply(1, "a")), Names{"note"});
}

TEST(ClientMachineTest, OutputOfALostEngineIsTakenForAShortTimeOnly) {
  Machine machine;
  machine.join(0, "a");
  machine.submit(1, Channel::task);
  machine.reply(1, "a");
  EXPECT_EQ(names(machine.leave(0, "a")), Names{});
  EXPECT_EQ(names(machine.step(OutputPublished{1, "stream", any_message()})),
            Names{"keep 1 stream"});
  EXPECT_EQ(names(machine.pass(grace)), Names{"end 1"});
  EXPECT_EQ(machine->request_count(), 0U);
}

TEST(ClientMachineTest, TheOutputOfAnEngineThatIsGoneAlreadyEndsTooWhenItsReplyComesLate) {
  Machine machine;
  machine.submit(1, Channel::task);
  EXPECT_EQ(names(machine.reply(1, "gone")), Names{"complete 1"});
  EXPECT_EQ(machine->next_deadline(), start + grace);
  EXPECT_EQ(names(machine.pass(grace)), Names{"end 1"});
}

TEST(ClientMachineTest, TheFirstOutputMayBeMissedButIsNotAwaitedForEver) {
  Machine machine({.first_output_grace = milliseconds(2000)});
  machine.join(0, "e0");
  machine.submit(1, Channel::mux, "e0");
  machine.submit(2, Channel::mux, "e0");
  machine.reply(1, "e0");
  EXPECT_TRUE(machine.pass(milliseconds(1999)).empty());
  machine.step(OutputEnded{2});
  EXPECT_EQ(names(machine.pass(milliseconds(1))), std::vector<std::string>{"end 1"});
  machine.submit(3, Channel::mux, "e0");
  machine.reply(3, "e0");
  EXPECT_TRUE(machine.pass(milliseconds(60'000)).empty()) << "output is heard by now";
}

TEST(ClientMachineTest, APartOfABroadcastIsNamedByItsIdOnTheWire) {
  Machine machine;
  machine.join(0, "e0");
  machine.step(RequestSubmitted{
      {.number = 6, .channel = Channel::broadcast, .target = "e0", .broadcast = 5}});
  const auto actions = machine.leave(0, "e0");
  const auto* failed = std::get_if<FailRequest>(&actions.front());
  ASSERT_NE(failed, nullptr);
  EXPECT_EQ(failed->failure.evalue, "Engine 0 died while running task 's_1_5_e0'");
}

TEST(ClientMachineTest, ARequestToAnEngineThatIsNotRegisteredFailsAndIsNotSent) {
  Machine machine;
  EXPECT_EQ(names(machine.submit(1, Channel::mux, "a")), (Names{"fail 1 EngineError", "end 1"}));
  EXPECT_EQ(machine->request_count(), 0U);
}

TEST(ClientMachineTest, TooMuchOutputIsDroppedAndSaidOnce) {
  Machine machine({.output_bytes_max = 300});
  machine.submit(1, Channel::task);
  EXPECT_EQ(names(machine.step(OutputPublished{1, "stream", any_message(200)})),
            Names{"keep 1 stream"});
  EXPECT_EQ(names(machine.step(OutputPublished{1, "stream", any_message(200)})),
            Names{"truncated 1"});
  EXPECT_EQ(names(machine.step(OutputPublished{1, "stream", any_message(200)})), Names{});
}

TEST(ClientMachineTest, TheOldestOpenOutputIsGivenUpWhenThereAreTooMany) {
  Machine machine({.open_outputs_max = 2});
  machine.join(0, "a");
  for (const RequestNumber number : {1U, 2U, 3U}) {
    machine.submit(number, Channel::mux, "a");
  }
  machine.reply(1, "a");
  machine.reply(2, "a");
  EXPECT_EQ(names(machine.reply(3, "a")), (Names{"complete 3", "note", "end 1"}));
  EXPECT_EQ(names(machine.step(OutputEnded{1})), Names{});
}

TEST(ClientMachineTest, OutputOfNobodyIsIgnored) {
  Machine machine;
  EXPECT_EQ(names(machine.step(OutputPublished{1, "stream", any_message()})), Names{});
  EXPECT_EQ(names(machine.step(OutputEnded{1})), Names{});
  EXPECT_EQ(names(machine.reply(1)), Names{"note"});
}

TEST(ClientMachineTest, AfterAShutdownNoticeRepliesStillCountForAMoment) {
  Machine machine;
  machine.submit(1, Channel::query);
  EXPECT_EQ(names(machine.step(ControllerShutDown{})), Names{});
  EXPECT_EQ(names(machine.reply(1)), (Names{"complete 1", "end 1"}));
  EXPECT_EQ(names(machine.pass(grace)), Names{"close: the controller shut down"});
}

TEST(ClientMachineTest, ClosingFailsWhatIsOutstandingInOrder) {
  Machine machine;
  machine.join(0, "a");
  machine.submit(2, Channel::mux, "a");
  machine.submit(1, Channel::query);
  machine.submit(3, Channel::task);
  machine.reply(3, "a");
  EXPECT_EQ(names(machine.step(Closed{"closed"})),
            (Names{"fail 1 ClientClosed", "end 1", "fail 2 ClientClosed", "end 2", "end 3"}));
  EXPECT_EQ(names(machine.submit(4, Channel::task)), (Names{"fail 4 ClientClosed", "end 4"}));
  EXPECT_EQ(machine->next_deadline(), TimePoint::never());
}

TEST(ClientMachineTest, QuestionsFailByNameWhenTheHubIsLostAndTheRestWaits) {
  Machine machine;
  machine.step(Started{});
  machine.step(HubFound{});
  machine.join(0, "a");
  machine.submit(1, Channel::query);
  machine.submit(2, Channel::mux, "a");
  machine.submit(3, Channel::task);
  EXPECT_EQ(names(machine.step(HubLost{})), (Names{"fail 1 ConnectionError", "end 1"}));
  EXPECT_EQ(names(machine.step(HubFound{})), (Names{"send connection_request"}));
  EXPECT_EQ(names(machine.reply(3, "", false)), (Names{"complete 3", "end 3"}));
  EXPECT_EQ(machine->next_deadline(), machine.now + std::chrono::seconds(2));
}

TEST(ClientMachineTest, EnginesMayReturnToAHubThatCameBack) {
  Machine machine;
  machine.step(Started{});
  machine.step(answer(0, {{EngineId{0}, "a"}}));
  machine.step(HubLost{});
  machine.step(HubFound{});
  EXPECT_EQ(names(machine.step(answer(1, {}))), Names{}) << "it may be on its way back";
  EXPECT_EQ(names(machine.pass(std::chrono::seconds(8))),
            (Names{"send connection_request", "send connection_request"}));
  EXPECT_EQ(names(machine.step(answer(3, {}))), (Names{"engines"}));
}

TEST(ClientMachineTest, DirectRequestsWaitUntilTheHubThatCameBackKnowsTheirEngine) {
  Machine machine;
  machine.step(Started{});
  machine.step(answer(0, {{EngineId{0}, "a"}, {EngineId{1}, "b"}}));
  EXPECT_FALSE(machine->is_away("a"));
  machine.step(HubLost{});
  machine.step(HubFound{});
  EXPECT_TRUE(machine->is_away("a"));
  EXPECT_FALSE(machine->is_away("")) << "a load-balanced request names none";
  EXPECT_EQ(names(machine.step(answer(1, {{EngineId{0}, "a"}}))), (Names{"again a"}));
  EXPECT_FALSE(machine->is_away("a"));
  EXPECT_TRUE(machine->is_away("b"));
  EXPECT_EQ(names(machine.step(EngineRegistered{{EngineId{1}, "b"}})), (Names{"again b"}));
  EXPECT_EQ(names(machine.step(EngineRegistered{{EngineId{1}, "b"}})), Names{}) << "once";
}

TEST(ClientMachineTest, AHubThatStaysAwayEndsTheClient) {
  Machine machine({.hub_patience = std::chrono::seconds(60)});
  machine.step(Started{});
  machine.step(HubLost{});
  EXPECT_EQ(names(machine.pass(std::chrono::seconds(59))), Names{});
  EXPECT_EQ(names(machine.pass(std::chrono::seconds(1))),
            (Names{"close: the controller has been out of reach for 60 seconds"}));
  EXPECT_EQ(names(machine.pass(std::chrono::seconds(100))), Names{}) << "once";
}

TEST(ClientMachineTest, EveryRequestGetsOneResultAndOneEndWhateverHappens) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    Machine machine({.open_outputs_max = 8});
    machine.step(Started{});
    std::vector<int> results(400);
    std::vector<int> ends(400);
    std::uint64_t next = 0;
    int next_engine = 0;
    std::vector<Engine> engines;
    const auto count = [&](const ClientActions& actions) {
      for (const auto& action : actions) {
        if (const auto* complete = std::get_if<CompleteRequest>(&action)) {
          ++results[complete->number];
        } else if (const auto* fail = std::get_if<FailRequest>(&action)) {
          ++results[fail->number];
        } else if (const auto* end = std::get_if<EndOutput>(&action)) {
          ++ends[end->number];
        }
      }
    };
    while (next < results.size()) {
      const auto some_engine = [&] {
        return engines.empty() ? std::string("none") : engines[rng.below(engines.size())].uuid;
      };
      switch (rng.below(8)) {
        case 0:
          engines.push_back({EngineId{next_engine}, "e" + std::to_string(next_engine)});
          machine.join(next_engine, engines.back().uuid);
          ++next_engine;
          break;
        case 1:
          if (!engines.empty() && rng.below(3) == 0) {
            count(machine.leave(engines.back().id.value, engines.back().uuid));
            engines.pop_back();
          }
          break;
        case 2:
        case 3:
          count(machine.submit(next++, Channel::mux, some_engine()));
          break;
        case 4:
          count(machine.submit(next++, rng.below(2) == 0 ? Channel::task : Channel::query));
          break;
        case 5:
          count(machine.reply(rng.below(next + 1), some_engine(), rng.below(4) != 0));
          break;
        case 6:
          count(machine.step(OutputEnded{rng.below(next + 1)}));
          break;
        default:
          count(machine.pass(milliseconds(static_cast<std::int64_t>(rng.below(300)))));
      }
    }
    count(machine.step(Closed{"end"}));
    EXPECT_EQ(results, std::vector<int>(results.size(), 1));
    EXPECT_EQ(ends, std::vector<int>(ends.size(), 1));
    EXPECT_EQ(machine->request_count(), 0U);
  }
}

}  // namespace
}  // namespace ipf::client
