#include "protocol/header_reader.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::unsigned_message;

Message with_header(const std::string& header) {
  return unsigned_message({.identities = {"c"}, .header = header});
}
Message with_metadata(const std::string& metadata) {
  return unsigned_message({.identities = {"c"}, .metadata = metadata});
}

/// What read_header says about this header: the msg_id, or the error's text.
std::string msg_id_or_error(const std::string& header) {
  HeaderReader reader;
  const Message message = with_header(header);
  const auto view = reader.read_header(message);
  if (!view) {
    EXPECT_EQ(view.error().code, ErrorCode::malformed);
    return "error: " + view.error().message;
  }
  return std::string(view->msg_id);
}

std::string options_error(const std::string& metadata) {
  HeaderReader reader;
  const auto options = reader.read_task_options(with_metadata(metadata));
  return options ? "none" : options.error().message;
}

std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(HeaderReader, ReadsTheFourFieldsAndSkipsTheOthers) {
  HeaderReader reader;
  const Message message =
      with_header(R"({"username": "u", "msg_id": "s_1_0", "list": [1, {"msg_id": "inner"}],)"
                  R"( "msg_type": "apply_request",)"
                  R"( "session": "s", "subshell_id": null,)"
                  R"( "date": "2026-11-21T01:40:35.193815Z", "version": "5.4"})");
  const auto header = reader.read_header(message);
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(header->msg_id, "s_1_0");
  EXPECT_EQ(header->msg_type, "apply_request");
  EXPECT_EQ(header->session, "s");
  EXPECT_EQ(header->date, "2026-11-21T01:40:35.193815Z");
}

TEST(HeaderReader, SessionAndDateMayBeMissing) {
  HeaderReader reader;
  const Message message = with_header(R"({"msg_id":"a","msg_type":"b","date":null})");
  const auto header = reader.read_header(message);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->session, "");
  EXPECT_EQ(header->date, "");
}

TEST(HeaderReader, EscapesInKeysAndValuesAreResolved) {
  EXPECT_EQ(msg_id_or_error(R"({"msg_\u0069d": "a\"\\\n\u00e4\ud83d\ude00", "msg_type": "b"})"),
            "a\"\\\nä😀");
}

TEST(HeaderReader, TheLastOfTwoEqualKeysCounts) {
  EXPECT_EQ(msg_id_or_error(R"({"msg_id": "a", "msg_type": "b", "msg_id": "c"})"), "c");
}

TEST(HeaderReader, AMsgIdHasOneTo1024Bytes) {
  const auto header_of = [](const std::string& id) {
    return R"({"msg_id": ")" + id + R"(", "msg_type": "b"})";
  };
  EXPECT_EQ(msg_id_or_error(header_of(std::string(1024, 'x'))), std::string(1024, 'x'));
  EXPECT_EQ(msg_id_or_error(header_of(std::string(1025, 'x'))),
            "error: header has no usable msg_id or msg_type");
  EXPECT_EQ(msg_id_or_error(header_of("")), "error: header has no usable msg_id or msg_type");
}

TEST(HeaderReader, MissingOrWrongFieldsAreNamed) {
  EXPECT_EQ(msg_id_or_error(R"({"msg_type": "b"})"),
            "error: header has no usable msg_id or msg_type");
  EXPECT_EQ(msg_id_or_error(R"({"msg_id": "a"})"),
            "error: header has no usable msg_id or msg_type");
  EXPECT_EQ(msg_id_or_error("{}"), "error: header has no usable msg_id or msg_type");
  for (const std::string value : {"1", "null", "[]", "{}", "true", "1.5"}) {
    EXPECT_EQ(msg_id_or_error(R"({"msg_id": )" + value + R"(, "msg_type": "b"})"),
              "error: header: 'msg_id' is no string");
    EXPECT_EQ(msg_id_or_error(R"({"msg_id": "a", "msg_type": )" + value + "}"),
              "error: header: 'msg_type' is no string");
    EXPECT_EQ(msg_id_or_error(R"({"msg_id": "a", "msg_type": "b", "session": )" + value + "}"),
              "error: header: 'session' is no string");
  }
  EXPECT_EQ(msg_id_or_error(R"({"msg_id": "a", "msg_type": "b", "date": 5})"),
            "error: header: 'date' is no string");
}

TEST(HeaderReader, WhatIsNoObjectIsRefused) {
  for (const std::string text :
       {"", " ", "null", "[]", "\"text\"", "1", "{", "}", "{\"msg_id\": \"a\"", "nonsense",
        "{\"msg_id\": \"a\", \"msg_type\": \"b\"", "{\"msg_id\" \"a\"}", "\xff\xfe",
        "{\"msg_id\": \"\xff\", \"msg_type\": \"b\"}", "{msg_id: \"a\"}"}) {
    EXPECT_EQ(msg_id_or_error(text).substr(0, 7), "error: ") << text;
  }
}

TEST(HeaderReader, DeepNestingIsSkippedWithoutRecursion) {
  EXPECT_EQ(msg_id_or_error(R"({"x": )" + nested(30'000) + R"(, "msg_id": "a", "msg_type": "b"})"),
            "a");
  EXPECT_EQ(msg_id_or_error(std::string(60'000, '[')).substr(0, 7), "error: ");
}

TEST(HeaderReader, ALargeFrameWithoutPaddingIsRead) {
  const std::string filler(20'000, 'f');
  const std::string header = R"({"filler": ")" + filler + R"(", "msg_id": "a", "msg_type": "b"})";
  ASSERT_FALSE(with_header(header).frames().is_packed(3));
  EXPECT_EQ(msg_id_or_error(header), "a");
}

TEST(HeaderReader, AHugeMetadataFrameIsRead) {
  std::string targets;
  for (int i = 0; i < 20'000; ++i) {
    targets += (i == 0 ? "\"" : ", \"") + std::to_string(i) + "-0123456789abcdef0123456789abcdef\"";
  }
  HeaderReader reader;
  const auto options = reader.read_task_options(with_metadata(R"({"targets": [)" + targets + "]}"));
  ASSERT_TRUE(options);
  EXPECT_EQ(options->targets.size(), 20'000U);
  EXPECT_EQ(options->targets[19'999], "19999-0123456789abcdef0123456789abcdef");
}

TEST(HeaderReader, HeaderAndParentAreReadIndependently) {
  HeaderReader reader;
  const Message message =
      unsigned_message({.header = R"({"msg_id": "own", "msg_type": "apply_reply"})",
                        .parent = R"({"msg_id": "asked", "msg_type": "apply_request"})",
                        .metadata = R"({"status": "ok"})"});
  const auto header = reader.read_header(message);
  const auto parent = reader.read_parent(message);
  const auto metadata = reader.read_reply_metadata(message);
  ASSERT_TRUE(header && parent && metadata);
  EXPECT_EQ(header->msg_id, "own");  // still valid after the other reads
  EXPECT_EQ(parent->msg_id, "asked");
  EXPECT_EQ(metadata->status, "ok");
}

TEST(HeaderReader, AnEmptyParentIsAnErrorThatSaysSo) {
  HeaderReader reader;
  const auto parent = reader.read_parent(unsigned_message({}));
  ASSERT_FALSE(parent);
  EXPECT_EQ(parent.error().message, "parent header has no usable msg_id or msg_type");
}

TEST(HeaderReader, OneReaderServesManyMessagesOfAllSizes) {
  HeaderReader reader;
  for (int i = 0; i < 300; ++i) {
    const std::string id = "id" + std::to_string(i);
    const std::string filler(static_cast<std::size_t>(i * i % 9000), ' ');
    const Message message =
        with_header("{" + filler + R"("msg_id": ")" + id + R"(", "msg_type": "t"})");
    const auto header = reader.read_header(message);
    ASSERT_TRUE(header);
    ASSERT_EQ(header->msg_id, id);
    ASSERT_FALSE(reader.read_header(with_header("{\"broken")));  // leaves nothing behind
  }
}

TEST(TaskOptions, DefaultsStandForMissingAndNullFields) {
  HeaderReader reader;
  for (const std::string metadata :
       {R"({})", R"({"label": "x"})",
        R"({"after": null, "follow": null, "targets": null, "timeout": null,)"
        R"( "retries": null, "label": null})",
        R"({"after": [], "follow": [], "timeout": 0.0, "targets": [],)"
        R"( "retries": 0, "label": null})"}) {
    const auto options = reader.read_task_options(with_metadata(metadata));
    ASSERT_TRUE(options) << metadata;
    EXPECT_EQ(*options, TaskOptions{}) << metadata;
  }
}

TEST(TaskOptions, AllFieldsAreRead) {
  HeaderReader reader;
  const auto options = reader.read_task_options(
      with_metadata(R"({"after": ["a", "b"], "follow": {"dependencies": ["c"], "all": false,)"
                    R"( "success": false, "failure": true},)"
                    R"( "targets": ["e1", "e2"], "timeout": 2.5, "retries": 3})"));
  ASSERT_TRUE(options);
  EXPECT_EQ(options->after, (DependencySpec{.msg_ids = {"a", "b"}}));
  EXPECT_EQ(options->follow,
            (DependencySpec{.msg_ids = {"c"}, .all = false, .success = false, .failure = true}));
  EXPECT_EQ(options->targets, (std::vector<std::string>{"e1", "e2"}));
  EXPECT_EQ(options->timeout_seconds, 2.5);
  EXPECT_EQ(options->retries, 3);
}

TEST(TaskOptions, AWholeNumberIsATimeoutToo) {
  HeaderReader reader;
  const auto options = reader.read_task_options(with_metadata(R"({"timeout": 5})"));
  ASSERT_TRUE(options);
  EXPECT_EQ(options->timeout_seconds, 5.0);
}

TEST(TaskOptions, PriorityRunTimeAndResourcesAreRead) {
  HeaderReader reader;
  const auto options = reader.read_task_options(with_metadata(
      R"({"priority": -3, "run_timeout": 1.5, "resources": {"gpu": 1, "mem": 2.5, "none": 0}})"));
  ASSERT_TRUE(options);
  EXPECT_EQ(options->priority, -3);
  EXPECT_EQ(options->run_timeout_seconds, 1.5);
  EXPECT_EQ(options->resources, (ResourceMap{{"gpu", 1.0}, {"mem", 2.5}}));
  EXPECT_TRUE(reader.read_task_options(
      with_metadata(R"({"priority": null, "run_timeout": null, "resources": null})")));
}

TEST(TaskOptions, EveryWrongTypeIsNamed) {
  const std::vector<std::pair<std::string, std::string>> wrong{
      {R"({"timeout": -1})", "metadata: 'timeout' is no number of seconds from 0 to 1e9"},
      {R"({"timeout": 1e10})", "metadata: 'timeout' is no number of seconds from 0 to 1e9"},
      {R"({"timeout": "1"})", "metadata: 'timeout' is no number of seconds from 0 to 1e9"},
      {R"({"timeout": NaN})", "metadata: 'timeout' is no number of seconds from 0 to 1e9"},
      {R"({"timeout": []})", "metadata: 'timeout' is no number of seconds from 0 to 1e9"},
      {R"({"retries": -1})", "metadata: 'retries' is no count"},
      {R"({"retries": 1.5})", "metadata: 'retries' is no count"},
      {R"({"retries": "1"})", "metadata: 'retries' is no count"},
      {R"({"retries": true})", "metadata: 'retries' is no count"},
      {R"({"retries": 2147483648})", "metadata: 'retries' is no count"},
      {R"({"retries": 99999999999999999999})", "metadata: 'retries' is no count"},
      {R"({"targets": "e1"})", "metadata: 'targets' is no list"},
      {R"({"targets": [1]})", "metadata: 'targets' is no list of strings"},
      {R"({"targets": ["a", null]})", "metadata: 'targets' is no list of strings"},
      {R"({"after": 1})", "metadata: 'after' is neither a list nor a dictionary"},
      {R"({"after": "id"})", "metadata: 'after' is neither a list nor a dictionary"},
      {R"({"after": [1]})", "metadata: 'after' is no list of strings"},
      {R"({"follow": {"dependencies": 1}})", "metadata: 'follow' is no list"},
      {R"({"follow": {"dependencies": [[]]}})", "metadata: 'follow' is no list of strings"},
      {R"({"follow": {"all": 1}})", "metadata: 'all' is neither true nor false"},
      {R"({"follow": {"success": null}})", "metadata: 'success' is neither true nor false"},
      {R"({"follow": {"failure": "no"}})", "metadata: 'failure' is neither true nor false"},
      {R"({"after": {"dependencies": ["a"], "success": false}})",
       "metadata: 'after' wants neither success nor failure"},
      {R"({"run_timeout": "1"})", "metadata: 'run_timeout' is no number of seconds from 0 to 1e9"},
      {R"({"priority": 1.5})", "metadata: 'priority' is no whole number from -1000000 to 1000000"},
      {R"({"priority": "high"})",
       "metadata: 'priority' is no whole number from -1000000 to 1000000"},
      {R"({"priority": 1000001})",
       "metadata: 'priority' is no whole number from -1000000 to 1000000"},
      {R"({"resources": ["gpu"]})", "metadata: 'resources' is no dictionary"},
      {R"({"resources": {"gpu": "1"}})",
       "metadata: 'resources' holds something else than a number from 0 to 1e15"},
      {R"({"resources": {"gpu": -1}})",
       "metadata: 'resources' holds something else than a number from 0 to 1e15"},
      {R"({"resources": {"": 1}})", "metadata: 'resources' has a name of 0 or more than 64 bytes"},
      {R"([])", "metadata is no JSON object"},
  };
  for (const auto& [metadata, message] : wrong) {
    EXPECT_EQ(options_error(metadata), message) << metadata;
  }
}

TEST(TaskOptions, BrokenTextIsAnErrorWhereverItBreaks) {
  const std::string whole =
      R"({"after": {"dependencies": ["a"], "all": true}, "targets": ["e\n1"], "timeout": 1.5,)"
      R"( "retries": 2})";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(options_error(whole.substr(0, size)), "none") << size;
  }
  EXPECT_EQ(options_error(whole), "none");
}

TEST(ReplyMetadata, FieldsAndDefaults) {
  HeaderReader reader;
  const Message full =
      with_metadata(R"({"status": "ok", "engine": "e1", "dependencies_met": false})");
  const auto read = reader.read_reply_metadata(full);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->status, "ok");
  EXPECT_EQ(read->engine, "e1");
  EXPECT_FALSE(read->dependencies_met);
  const auto empty = reader.read_reply_metadata(with_metadata("{}"));
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->status, "");
  EXPECT_TRUE(empty->dependencies_met);
}

TEST(ReplyMetadata, WrongTypesAreErrors) {
  HeaderReader reader;
  for (const std::string text :
       {R"({"status": 1})", R"({"engine": []})", R"({"dependencies_met": "yes"})", "[]", ""}) {
    EXPECT_FALSE(reader.read_reply_metadata(with_metadata(text))) << text;
  }
}

}  // namespace
}  // namespace ipf
