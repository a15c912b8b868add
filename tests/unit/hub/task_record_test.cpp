#include "hub/task_record.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "hub/record_change.hpp"
#include "hub/record_columns.hpp"
#include "unit/hub/hub_testing.hpp"

namespace ipf {
namespace {

using test::client_session;
using test::make_message;
using test::output;
using test::wall_ms;

class TaskRecordTest : public testing::Test {
 protected:
  void change(RecordChange what) { apply_change(record, std::move(what), limits); }
  void print(const std::string& text, const std::string& name = "stdout") {
    change(RecordOutput{.msg_type = "stream",
                        .output = output(dump_json({{"name", name}, {"text", text}}))});
  }
  Json column(Column which) { return RecordReader(record).column(which); }

  RecordLimits limits{.stream_bytes_max = 20, .output_bytes_max = 100};
  TaskRecord record{.msg_id = "m1"};
};

TEST_F(TaskRecordTest, AnEmptyRecordHasAllColumnsNullButTheStreams) {
  const Json json = record_to_json(record, all_json_columns());
  EXPECT_EQ(json.size(), column_count - 2);
  for (const auto& [name, value] : json.items()) {
    if (name == "msg_id") {
      EXPECT_EQ(value, "m1");
    } else if (name == "stdout" || name == "stderr") {
      EXPECT_EQ(value, "");
    } else {
      EXPECT_TRUE(value.is_null()) << name;
    }
  }
}

TEST_F(TaskRecordTest, ARequestFillsItsColumns) {
  change(RecordRequest{.queue = TaskQueue::mux,
                       .engine_uuid = "e0",
                       .request = test::apply_request(
                           "m1", {.date_ms = 5, .metadata = R"({"label": "mine", "x": 1})"})});
  EXPECT_EQ(column(Column::header).at("msg_id"), "m1");
  EXPECT_EQ(column(Column::metadata).at("x"), 1);
  EXPECT_EQ(column(Column::content), Json::object());
  EXPECT_EQ(column(Column::submitted), "2026-11-21T01:40:35.005000Z");
  EXPECT_EQ(column(Column::client_uuid), client_session);
  EXPECT_EQ(column(Column::engine_uuid), "e0");
  EXPECT_EQ(column(Column::queue), "mux");
  EXPECT_EQ(column(Column::label), "mine");
  EXPECT_TRUE(column(Column::completed).is_null());
  EXPECT_EQ(test::texts(buffers_of(record.request)), std::vector<std::string>{"call"});
  EXPECT_FALSE(is_finished(record));
}

TEST_F(TaskRecordTest, AReplyFillsItsColumns) {
  change(RecordRequest{
      .queue = TaskQueue::task, .engine_uuid = {}, .request = test::apply_request("m1")});
  EXPECT_TRUE(column(Column::engine_uuid).is_null());
  change(RecordAssignment{.engine_uuid = "e0"});
  change(RecordReply{
      .engine_uuid = "e1", .received = wall_ms(30), .reply = test::apply_reply("m1", "e1")});
  EXPECT_EQ(column(Column::engine_uuid), "e1");
  EXPECT_EQ(column(Column::started), to_iso(wall_ms(10)));
  EXPECT_EQ(column(Column::completed), to_iso(wall_ms(20)));
  EXPECT_EQ(column(Column::received), to_iso(wall_ms(30)));
  EXPECT_EQ(column(Column::result_header).at("msg_type"), "apply_reply");
  EXPECT_EQ(column(Column::result_metadata).at("engine"), "e1");
  EXPECT_EQ(column(Column::result_content).at("status"), "ok");
  EXPECT_EQ(test::texts(buffers_of(record.reply)), std::vector<std::string>{"result"});
  EXPECT_TRUE(is_finished(record));
}

TEST_F(TaskRecordTest, AFailureOfTheSchedulerHasAnEmptyEngine) {
  change(RecordRequest{
      .queue = TaskQueue::task, .engine_uuid = {}, .request = test::apply_request("m1")});
  change(
      RecordReply{.engine_uuid = "", .received = wall_ms(1), .reply = test::apply_reply("m1", "")});
  EXPECT_EQ(column(Column::engine_uuid), "");
}

TEST_F(TaskRecordTest, WithoutARequestTheHeaderIsReadFromTheReply) {
  change(RecordReply{
      .engine_uuid = "e0", .received = wall_ms(1), .reply = test::apply_reply("m1", "e0")});
  EXPECT_EQ(column(Column::header).at("msg_id"), "m1");
  EXPECT_EQ(column(Column::client_uuid), client_session);
  EXPECT_TRUE(column(Column::content).is_null());
}

TEST_F(TaskRecordTest, BrokenJsonInAFrameReadsAsNull) {
  for (const auto* broken : {"", "{", "[1]", "null", "\"text\"", "{\"a\": \xff}", "{} {}",
                             "{\"date\": 5, \"session\": []}"}) {
    record.request = make_message({.header = broken, .metadata = broken, .content = broken});
    record.reply = make_message({.header = broken, .metadata = broken, .content = broken});
    record.error = broken;
    const Json json = record_to_json(record, all_json_columns());
    EXPECT_TRUE(json.at("submitted").is_null()) << broken;
    EXPECT_TRUE(json.at("client_uuid").is_null()) << broken;
    EXPECT_TRUE(json.at("label").is_null()) << broken;
    EXPECT_NO_THROW(dump_json(json));
  }
}

TEST_F(TaskRecordTest, DeepJsonInAFrameReadsAsNull) {
  record.request = make_message({.header = std::string(100'000, '[')});
  EXPECT_TRUE(column(Column::header).is_null());
}

TEST_F(TaskRecordTest, StreamsAreConcatenated) {
  print("one ");
  print("bad", "stderr");
  print("two");
  EXPECT_EQ(column(Column::stdout_text), "one two");
  EXPECT_EQ(column(Column::stderr_text), "bad");
}

TEST_F(TaskRecordTest, AStreamOverItsLimitIsCutOnceAndSaysSo) {
  print("0123456789012345");
  print("\u20ac\u20ac!");  // 3 bytes each: the first ends at 19, the second would be cut in two
  const auto text = column(Column::stdout_text).get<std::string>();
  EXPECT_TRUE(text.starts_with("0123456789012345\u20ac\n[the hub keeps 20 bytes")) << text;
  print("more");
  EXPECT_EQ(column(Column::stdout_text), text);
  print("other", "stderr");
  EXPECT_EQ(column(Column::stderr_text), "other");
}

TEST_F(TaskRecordTest, ABrokenStreamMessageChangesNothing) {
  for (const auto* content :
       {"{", "[]", "{}", R"({"name": "stdout"})", R"({"name": "stdout", "text": 5})"}) {
    change(RecordOutput{.msg_type = "stream", .output = output(content)});
  }
  EXPECT_EQ(column(Column::stdout_text), "");
}

TEST_F(TaskRecordTest, OutputsAreKeptAndTheLastWins) {
  change(RecordOutput{.msg_type = "execute_input",
                      .output = output(R"({"code": "1+1", "execution_count": 3})")});
  change(RecordOutput{.msg_type = "execute_result",
                      .output = output(R"({"data": {"text/plain": "2"}})")});
  change(RecordOutput{.msg_type = "error", .output = output(R"({"ename": "E"})")});
  change(RecordOutput{.msg_type = "display_data", .output = output(R"({"data": {"a": 1}})")});
  change(RecordOutput{.msg_type = "display_data", .output = output(R"({"data": {"a": 2}})")});
  change(RecordOutput{.msg_type = "data_message", .output = output(R"({"keys": []})")});
  EXPECT_EQ(column(Column::execute_input), "1+1");
  EXPECT_EQ(column(Column::execute_result).at("data").at("text/plain"), "2");
  EXPECT_EQ(column(Column::error).at("ename"), "E");
  EXPECT_EQ(column(Column::display_data).at("data").at("a"), 2);
  EXPECT_TRUE(is_finished(record)) << "there is no request: nothing more will come";
}

TEST_F(TaskRecordTest, AnOutputOverItsLimitIsReplacedByOneThatSaysSo) {
  const std::string large =
      dump_json({{"data", {{"text/plain", std::string(200, 'x')}}}, {"code", "c"}, {"ename", "E"}});
  for (const auto* type : {"execute_input", "execute_result", "error", "display_data"}) {
    change(RecordOutput{.msg_type = type, .output = output(large)});
  }
  EXPECT_NE(column(Column::execute_input).get<std::string>().find("not kept"), std::string::npos);
  EXPECT_NE(column(Column::execute_result)
                .at("data")
                .at("text/plain")
                .get<std::string>()
                .find("not kept"),
            std::string::npos);
  EXPECT_NE(column(Column::error).at("evalue").get<std::string>().find("not kept"),
            std::string::npos);
  EXPECT_NE(
      column(Column::display_data).at("data").at("text/plain").get<std::string>().find("not kept"),
      std::string::npos);
  EXPECT_LT(held_bytes(record), sizeof(TaskRecord) + 700);
}

TEST_F(TaskRecordTest, BuffersAreSharedNotCopied) {
  const std::string large(100'000, 'b');
  record.request = make_message({.buffers = {large, "small", ""}});
  const auto buffers = buffers_of(record.request);
  ASSERT_EQ(buffers.size(), 3U);
  EXPECT_EQ(buffers[0].bytes.data(), record.request->buffer(0).data());
  record.request.reset();
  EXPECT_EQ(buffers[0].bytes, large);
  EXPECT_EQ(buffers[1].bytes, "small");
  EXPECT_EQ(buffers[2].bytes, "");
}

TEST_F(TaskRecordTest, AResubmissionIsNoted) {
  EXPECT_TRUE(column(Column::resubmitted).is_null());
  change(RecordResubmission{.new_msg_id = "m2"});
  EXPECT_EQ(column(Column::resubmitted), "m2");
}

TEST(RecordColumns, NamesAndColumnsAreTheSameBothWays) {
  for (std::size_t i = 0; i < column_count; ++i) {
    const auto column = static_cast<Column>(i);
    EXPECT_EQ(find_column(column_name(column)), column);
  }
  EXPECT_EQ(column_name(Column::stdout_text), "stdout");
  EXPECT_EQ(column_name(Column::display_data), "display_data");
  EXPECT_FALSE(find_column("nothing"));
  EXPECT_FALSE(find_column(""));
}

TEST(RecordColumns, OnlyTheAskedColumnsAndTheMsgIdAreInTheJson) {
  const TaskRecord record{.msg_id = "m", .stdout_text = {.text = "x"}};
  EXPECT_EQ(record_to_json(record, {Column::stdout_text, Column::buffers}),
            (Json{{"msg_id", "m"}, {"stdout", "x"}}));
}

}  // namespace
}  // namespace ipf
