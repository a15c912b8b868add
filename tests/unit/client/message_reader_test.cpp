#include "client/message_reader.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "client/request_writer.hpp"
#include "core/clock.hpp"
#include "protocol/json_text.hpp"
#include "protocol/session.hpp"

namespace ipf::client {
namespace {

constexpr WallTime today{1'795'000'000'000'000};

/// A client's writer and reader, and a peer that shares the key.
struct Ends {
  Signer signer = std::move(Signer::create("secret")).value();
  Session peer{"11111111-peer", "tester", signer};
  RequestWriter writer{"22222222-client", "tester", signer};
  MessageReader reader{signer, writer.msg_id_prefix()};

  [[nodiscard]] std::string parent(std::string_view number) const {
    return R"({"msg_id": ")" + writer.msg_id_prefix() + std::string(number) +
           R"(", "msg_type": "apply_request", "session": "22222222-client"})";
  }
  Frames reply(std::string_view content,
               std::string_view metadata = R"({"status": "ok", "engine": "e1"})",
               std::string_view number = "5") {
    return peer.make(
        {.type = "apply_reply", .parent = parent(number), .metadata = metadata, .content = content},
        today);
  }
  Frames publish(std::string_view type, std::string_view content) {
    const std::vector<std::string_view> topic{"engine.0.stdout"};
    return peer.make({.type = type, .parent = parent("5"), .content = content, .identities = topic},
                     today);
  }
};

template <class Event>
Event expect_event(const MessageReader::Read& read) {
  EXPECT_TRUE(read) << (read ? "" : read.error().message);
  EXPECT_TRUE(read && read->has_value());
  return std::get<Event>(**read);
}

void expect_nothing(const MessageReader::Read& read) {
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_FALSE(read->has_value());
}

void expect_error(const MessageReader::Read& read, ErrorCode code) {
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, code);
}

Frames with_frame(const Frames& frames, std::size_t changed, std::string_view bytes) {
  FramesBuilder builder;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    builder.add(i == changed ? bytes : frames[i]);
  }
  return builder.finish();
}

TEST(RequestWriterTest, WritesASignedMessageThatEndsInItsNumber) {
  Ends ends;
  FramesBuilder buffers;
  buffers.add("first");
  buffers.add("");
  const Frames frames = ends.writer.write({.number = 42,
                                           .channel = Channel::mux,
                                           .type = "apply_request",
                                           .target = "engine-uuid",
                                           .metadata = R"({"label": null})",
                                           .buffers = buffers.finish()},
                                          today);
  ReplayGuard guard;
  const auto message = accept_message(frames, ends.signer, guard);
  ASSERT_TRUE(message) << message.error().message;
  ASSERT_EQ(message->identity_count(), 1U);
  EXPECT_EQ(message->identity(0), "engine-uuid");
  EXPECT_EQ(message->parent(), "{}");
  EXPECT_EQ(message->content(), "{}");
  ASSERT_EQ(message->buffer_count(), 2U);
  EXPECT_EQ(message->buffer(0), "first");
  EXPECT_EQ(message->buffer(1), "");
  const auto header = parse_json(message->header());
  ASSERT_TRUE(header);
  EXPECT_EQ(header->at("msg_id"), ends.writer.msg_id_prefix() + "42");
  EXPECT_EQ(header->at("msg_type"), "apply_request");
  EXPECT_EQ(header->at("session"), "22222222-client");
  EXPECT_EQ(header->at("username"), "tester");
  EXPECT_EQ(header->at("version"), "5.4");
  EXPECT_EQ(header->at("date"), to_iso(today));
}

TEST(RequestWriterTest, BalancedRequestsHaveNoIdentity) {
  Ends ends;
  const Frames frames =
      ends.writer.write({.number = 0, .channel = Channel::task, .type = "apply_request"}, today);
  EXPECT_EQ(frames[0], delimiter);
}

TEST(MessageReaderTest, ReadsAnOkReply) {
  Ends ends;
  const auto reply = expect_event<ReplyArrived>(
      ends.reader.read_reply(Channel::mux, ends.reply(R"({"status": "ok"})")));
  EXPECT_EQ(reply.number, 5U);
  EXPECT_EQ(reply.status, ReplyStatus::ok);
  EXPECT_EQ(reply.engine_uuid, "e1");
  EXPECT_TRUE(reply.output_follows);
}

TEST(MessageReaderTest, OutputFollowsAnErrorOnlyFromAnEngine) {
  Ends ends;
  const auto theirs = expect_event<ReplyArrived>(ends.reader.read_reply(
      Channel::mux, ends.reply(R"({"status": "error", "engine_info": {"engine_id": 0}})")));
  EXPECT_EQ(theirs.status, ReplyStatus::error);
  EXPECT_TRUE(theirs.output_follows);
  const auto made = expect_event<ReplyArrived>(ends.reader.read_reply(
      Channel::task, ends.reply(R"({"status": "error", "engine_info": {}})", "{}", "6")));
  EXPECT_EQ(made.status, ReplyStatus::error);
  EXPECT_FALSE(made.output_follows);
  EXPECT_EQ(made.engine_uuid, "");
}

TEST(MessageReaderTest, AnAbortedReplyHasNoOutput) {
  Ends ends;
  const auto reply = expect_event<ReplyArrived>(
      ends.reader.read_reply(Channel::mux, ends.reply(R"({"status": "aborted"})")));
  EXPECT_EQ(reply.status, ReplyStatus::aborted);
  EXPECT_FALSE(reply.output_follows);
}

TEST(MessageReaderTest, WrongSignaturesAndReplaysAreRefusedBeforeAnythingIsParsed) {
  Ends ends;
  const Frames good = ends.reply(R"({"status": "ok"})");
  expect_error(ends.reader.read_reply(Channel::mux, with_frame(good, 5, "no json at all")),
               ErrorCode::bad_signature);
  EXPECT_TRUE(ends.reader.read_reply(Channel::mux, good));
  expect_error(ends.reader.read_reply(Channel::mux, good), ErrorCode::replayed);
}

TEST(MessageReaderTest, SignedNonsenseIsMalformed) {
  Ends ends;
  for (const std::string_view content : {"", "[]", "null", "{\"status\": ", "12"}) {
    expect_error(ends.reader.read_reply(Channel::mux, ends.reply(content)), ErrorCode::malformed);
  }
}

TEST(MessageReaderTest, RepliesToOthersAreNoneOfOurBusiness) {
  Ends ends;
  for (const std::string_view number : {"", "x", "5x", "-1", "99999999999999999999999"}) {
    expect_nothing(
        ends.reader.read_reply(Channel::mux, ends.reply(R"({"status": "ok"})", "{}", number)));
  }
  const Frames foreign = ends.peer.make(
      {.type = "apply_reply", .parent = R"({"msg_id": "a_1_5", "msg_type": "apply_request"})"},
      today);
  expect_nothing(ends.reader.read_reply(Channel::mux, foreign));
}

TEST(MessageReaderTest, ReadsTheEnginesInAnswersToOwnQuestions) {
  Ends ends;
  const std::string own = std::to_string(first_own_number + 1);
  const auto listed = expect_event<EnginesListed>(ends.reader.read_reply(
      Channel::query,
      ends.reply(R"({"status": "ok", "engines": {"0": "aa", "12": "bb"}})", "{}", own)));
  EXPECT_EQ(listed.number, first_own_number + 1);
  EXPECT_EQ(listed.engines, (std::vector<Engine>{{EngineId{0}, "aa"}, {EngineId{12}, "bb"}}));
  for (const std::string_view wrong :
       {R"({"status": "ok"})", R"({"status": "ok", "engines": {"x": "aa"}})",
        R"({"status": "ok", "engines": {"0": 5}})", R"({"status": "error"})"}) {
    expect_error(ends.reader.read_reply(Channel::query, ends.reply(wrong, "{}", own)),
                 ErrorCode::malformed);
  }
  // The same message on another socket is not an answer of the hub.
  expect_nothing(ends.reader.read_reply(
      Channel::mux, ends.reply(R"({"status": "ok", "engines": {}})", "{}", own)));
}

TEST(MessageReaderTest, ReadsNotifications) {
  Ends ends;
  const auto notify = [&](std::string_view type, std::string_view content) {
    return ends.reader.read_notification(ends.peer.make({.type = type, .content = content}, today));
  };
  const auto joined = expect_event<EngineRegistered>(
      notify("registration_notification", R"({"id": 3, "uuid": "u3"})"));
  EXPECT_EQ(joined.engine, (Engine{EngineId{3}, "u3"}));
  const auto left = expect_event<EngineUnregistered>(
      notify("unregistration_notification", R"({"id": 3, "uuid": "u3"})"));
  EXPECT_EQ(left.engine, (Engine{EngineId{3}, "u3"}));
  expect_event<ControllerShutDown>(notify("shutdown_notification", R"({"status": "ok"})"));
  expect_nothing(notify("something_new", "{}"));
  expect_error(notify("registration_notification", R"({"id": "3"})"), ErrorCode::malformed);
}

TEST(MessageReaderTest, ReadsOutputUntilIdle) {
  Ends ends;
  const auto output = expect_event<OutputPublished>(
      ends.reader.read_output(ends.publish("stream", R"({"name": "stdout", "text": "hi"})")));
  EXPECT_EQ(output.number, 5U);
  EXPECT_EQ(output.type, "stream");
  expect_nothing(ends.reader.read_output(ends.publish("status", R"({"execution_state": "busy"})")));
  const auto ended = expect_event<OutputEnded>(
      ends.reader.read_output(ends.publish("status", R"({"execution_state": "idle"})")));
  EXPECT_EQ(ended.number, 5U);
}

TEST(MessageReaderTest, OutputForOtherClientsAndWelcomesWithoutTopicAreIgnored) {
  Ends ends;
  expect_nothing(ends.reader.read_output(ends.peer.make({.type = "iopub_welcome"}, today)));
  expect_nothing(ends.reader.read_output(ends.peer.make(
      {.type = "stream", .parent = R"({"msg_id": "other_1_2", "msg_type": "x"})"}, today)));
  FramesBuilder garbage;
  garbage.add("engine.0.stdout");
  expect_error(ends.reader.read_output(garbage.finish()), ErrorCode::malformed);
}

TEST(MessageReaderTest, RepliesAndOutputOfABroadcastBelongToItsParts) {
  Ends ends;
  const std::string metadata = R"({"status": "ok", "engine": "y"})";
  const std::string ok = R"({"status": "ok"})";
  expect_nothing(ends.reader.read_reply(Channel::broadcast, ends.reply(ok, metadata, "5_y")));
  ends.reader.expect_broadcast(5, {{.number = 6, .target = "x"}, {.number = 7, .target = "y"}});
  const auto take = [&](std::string_view id) {
    return ends.reader.read_reply(Channel::broadcast, ends.reply(ok, metadata, id));
  };
  EXPECT_EQ(expect_event<ReplyArrived>(take("5_x")).number, 6U);
  EXPECT_EQ(expect_event<ReplyArrived>(take("5_y")).number, 7U);
  expect_nothing(take("5_z"));
  ends.reader.end_broadcast_part(7);  // its output may have ended before its reply comes
  EXPECT_EQ(expect_event<ReplyArrived>(take("5_y")).number, 7U);
  ends.reader.end_broadcast_part(7);
  expect_nothing(take("5_y"));
  EXPECT_EQ(expect_event<ReplyArrived>(take("5_x")).number, 6U);
}

}  // namespace
}  // namespace ipf::client
