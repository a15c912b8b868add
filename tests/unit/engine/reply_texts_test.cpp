#include "engine/reply_texts.hpp"

#include <string>

#include <gtest/gtest.h>

#include "engine/control_request.hpp"
#include "protocol/json_text.hpp"

namespace ipf::engine {
namespace {

Json parsed(const std::string& text) {
  auto value = parse_json(text);
  EXPECT_TRUE(value) << text;
  return value ? *value : Json();
}

TEST(ReplyTextsTest, MetadataOfADirectReplyHasAllKeysOfTheReference) {
  const EngineIdentity engine("abc-def", EngineId{4});
  const std::string text = engine.reply_metadata({.started = {1'795'225'235'193'815}},
                                                 read_echoed_metadata(R"({"label": null})"));
  EXPECT_EQ(
      text,
      R"({"started": "2026-11-21T01:40:35.193815Z", "dependencies_met": true, "engine": "abc-def", )"
      R"("is_broadcast": false, "is_coalescing": false, "original_msg_id": "", "label": null, "status": "ok"})");
}

TEST(ReplyTextsTest, ErrorsNameTheEngineInTheMetadata) {
  const EngineIdentity engine("abc-def", EngineId{4});
  const Json metadata = parsed(engine.reply_metadata(
      {.status = ReplyStatus::error, .started = {}, .dependencies_met = false}, {}));
  EXPECT_EQ(metadata["status"], "error");
  EXPECT_EQ(metadata["dependencies_met"], false);
  EXPECT_EQ(metadata["engine_info"], parsed(R"({"engine_uuid": "abc-def", "engine_id": 4})"));
}

TEST(ReplyTextsTest, BroadcastMetadataIsRepeated) {
  const auto echoed = read_echoed_metadata(
      R"({"targets": [["u", 1]], "is_broadcast": true, "is_coalescing": true, "original_msg_id": "m\"1", "label": ["x"]})");
  EXPECT_EQ(echoed.is_broadcast, "true");
  EXPECT_EQ(echoed.is_coalescing, "true");
  EXPECT_EQ(echoed.original_msg_id, R"("m\"1")");
  EXPECT_EQ(echoed.label, R"(["x"])");
}

TEST(ReplyTextsTest, ALabelIsRepeatedWhateverItHolds) {
  EXPECT_EQ(read_echoed_metadata(R"({"label": "fit"})").label, R"("fit")");
  EXPECT_EQ(read_echoed_metadata(R"({"label": "\"label\": null"})").label, R"("\"label\": null")");
  EXPECT_EQ(read_echoed_metadata(R"({"a": {"label": null}, "label": "b"})").label, R"("b")");
  EXPECT_EQ(read_echoed_metadata(R"({"label":null})").label, "null");
  EXPECT_EQ(read_echoed_metadata(R"({"la\u0062el": "x"})").label, R"("x")");
}

TEST(ReplyTextsTest, BrokenMetadataKeepsTheDefaults) {
  for (const char* text : {"", "nonsense", "[]", R"({"label": )", R"({"is_broadcast": )"}) {
    EXPECT_EQ(read_echoed_metadata(text), EchoedMetadata{}) << text;
  }
}

TEST(ReplyTextsTest, VerdictsComeFromTheContent) {
  EXPECT_EQ(read_verdict(R"({"status": "ok", "payload": []})").status, ReplyStatus::ok);
  EXPECT_EQ(read_verdict(R"({"status": "error", "ename": "X"})").status, ReplyStatus::error);
  EXPECT_TRUE(read_verdict(R"({"status": "error", "ename": "X"})").dependencies_met);
  EXPECT_FALSE(read_verdict(R"({"status": "error", "ename": "UnmetDependency"})").dependencies_met);
  EXPECT_EQ(read_verdict("{").status, ReplyStatus::error);
}

TEST(ReplyTextsTest, StopOnErrorIsTheDefaultUnlessSilent) {
  EXPECT_TRUE(stops_on_error(R"({"code": "1/0"})"));
  EXPECT_TRUE(stops_on_error(R"({"silent": false, "stop_on_error": true})"));
  EXPECT_FALSE(stops_on_error(R"({"silent": true})"));
  EXPECT_FALSE(stops_on_error(R"({"stop_on_error": false})"));
}

TEST(ReplyTextsTest, ReplyTypes) {
  EXPECT_EQ(reply_type("apply_request"), "apply_reply");
  EXPECT_EQ(reply_type("odd"), "odd_reply");
}

TEST(ReplyTextsTest, KernelInfoIsComplete) {
  const Json info = parsed(kernel_info_content("3.11.2", "0.1.0", true));
  for (const char* key : {"status", "protocol_version", "implementation", "implementation_version",
                          "banner", "help_links"}) {
    EXPECT_TRUE(info.contains(key)) << key;
  }
  EXPECT_EQ(info["supported_features"], Json::array({"debugger"}));
  EXPECT_EQ(info["protocol_version"], "5.3");
  EXPECT_EQ(info["language_info"]["version"], "3.11.2");
  EXPECT_EQ(info["language_info"]["file_extension"], ".py");
}

TEST(ReplyTextsTest, StreamTextSurvivesJson) {
  const std::string odd = "a\"\\\n\x01 \xc3\xa9";
  EXPECT_EQ(parsed(stream_content("stderr", odd)), (Json{{"name", "stderr"}, {"text", odd}}));
}

// ---- control requests
// -----------------------------------------------------------------------------

TEST(ControlRequestTest, AbortTakesAListOrOneString) {
  EXPECT_EQ(decode_control("abort_request", parsed(R"({"msg_ids": ["a", "b"]})")),
            ControlRequest(Abort{{"a", "b"}}));
  const auto moved =
      decode_control("abort_request", parsed(R"({"msg_ids": ["a"], "ipyfleet": {"moved": true}})"));
  EXPECT_EQ(moved, ControlRequest(Abort{.msg_ids = {"a"}, .moved = true}));
  for (const auto* odd : {R"("moved")", R"(["moved"])", R"({"moved": "yes"})", "null"}) {
    const std::string text = R"({"msg_ids": ["a"], "ipyfleet": )" + std::string(odd) + "}";
    EXPECT_EQ(decode_control("abort_request", parsed(text)), ControlRequest(Abort{{"a"}})) << odd;
  }
  EXPECT_EQ(decode_control("abort_request", parsed(R"({"msg_ids": "a"})")),
            ControlRequest(Abort{{"a"}}));
  EXPECT_EQ(decode_control("abort_request", parsed(R"({"msg_ids": []})")), ControlRequest(Abort{}));
  for (const char* bad : {"{}", R"({"msg_ids": null})", R"({"msg_ids": [1]})", "[]"}) {
    EXPECT_TRUE(std::holds_alternative<Refusal>(decode_control("abort_request", parsed(bad))))
        << bad;
  }
}

TEST(ControlRequestTest, SignalsGoByNameOrNumber) {
  EXPECT_EQ(decode_control("signal_request", parsed(R"({"sig": 2})")), ControlRequest(Signal{2}));
  EXPECT_EQ(decode_control("signal_request", parsed(R"({"sig": "SIGINT"})")),
            ControlRequest(Signal{2}));
  EXPECT_EQ(decode_control("signal_request", parsed(R"({"sig": "KILL"})")),
            ControlRequest(Signal{9}));
  for (const char* bad :
       {"{}", R"({"sig": "SIGFOO"})", R"({"sig": 65})", R"({"sig": -1})", R"({"sig": 2.5})",
        R"({"sig": 99999999999999999999})", R"({"sig": null})"}) {
    EXPECT_TRUE(std::holds_alternative<Refusal>(decode_control("signal_request", parsed(bad))))
        << bad;
  }
}

TEST(ControlRequestTest, TheRest) {
  EXPECT_EQ(decode_control("shutdown_request", parsed(R"({"restart": true})")),
            ControlRequest(Shutdown{true}));
  EXPECT_EQ(decode_control("shutdown_request", parsed("{}")), ControlRequest(Shutdown{false}));
  EXPECT_EQ(decode_control("clear_request", parsed("{}")), ControlRequest(ClearNamespace{}));
  EXPECT_EQ(decode_control("interrupt_request", parsed("{}")), ControlRequest(InterruptWork{}));
  EXPECT_EQ(decode_control("usage_request", parsed("{}")), ControlRequest(Inquiry{}));
  EXPECT_TRUE(std::holds_alternative<Refusal>(decode_control("execute_request", parsed("{}"))));
  EXPECT_EQ(decode_control("debug_request", parsed("{}")), ControlRequest(ShellInquiry{}));
  EXPECT_EQ(decode_control("complete_request", parsed("{}")), ControlRequest(ShellInquiry{}));
  EXPECT_EQ(decode_control("comm_msg", parsed("{}")), ControlRequest(Unanswered{}));
}

}  // namespace
}  // namespace ipf::engine
