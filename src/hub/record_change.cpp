#include "hub/record_change.hpp"

#include <string_view>
#include <utility>

#include "protocol/json_text.hpp"

namespace ipf {

namespace {

/// The longest prefix of at most `most` bytes that does not cut a UTF-8 sequence in two.
std::string_view whole_characters(std::string_view text, std::size_t most) {
  if (text.size() <= most) {
    return text;
  }
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0U) == 0x80U) {
    --most;
  }
  return text.substr(0, most);
}

void append_stream(StreamText& stream, std::string_view text, std::size_t most) {
  if (stream.truncated || stream.text.size() > most) {  // a database does not keep the flag
    return;
  }
  const auto fits = whole_characters(text, most - stream.text.size());
  stream.text += fits;
  if (fits.size() < text.size()) {
    stream.truncated = true;
    stream.text +=
        "\n[the hub keeps " + std::to_string(most) + " bytes of this; more was printed]\n";
  }
}

void apply_stream(TaskRecord& record, const Message& output, const RecordLimits& limits) {
  const auto content = parse_json_object(output.content(), "stream");
  if (!content) {
    return;
  }
  const auto text = content->find("text");
  if (text == content->end() || !text->is_string()) {
    return;
  }
  const bool is_stderr = string_or(*content, "name") == "stderr";
  append_stream(is_stderr ? record.stderr_text : record.stdout_text,
                text->get_ref<const std::string&>(), limits.stream_bytes_max);
}

/// The content, or a small one of the same kind if it is too large to keep.
std::string kept_content(const RecordOutput& change, const RecordLimits& limits) {
  const auto content = change.output.content();
  if (content.size() <= limits.output_bytes_max) {
    return std::string(content);
  }
  const std::string note = "[" + std::to_string(content.size()) +
                           " bytes, not kept by the hub: its limit is " +
                           std::to_string(limits.output_bytes_max) + "]";
  if (change.msg_type == "execute_input") {
    return dump_json({{"code", note}});
  }
  if (change.msg_type == "error") {
    return dump_json({{"ename", "Error"}, {"evalue", note}, {"traceback", Json::array()}});
  }
  return dump_json({{"data", {{"text/plain", note}}}, {"metadata", Json::object()}});
}

struct Applier {
  TaskRecord& record;
  const RecordLimits& limits;

  void operator()(RecordRequest& change) const {
    record.queue = change.queue;
    if (!change.engine_uuid.empty()) {
      record.engine_uuid = std::move(change.engine_uuid);
    }
    record.request = std::move(change.request);
  }
  void operator()(RecordAssignment& change) const {
    record.engine_uuid = std::move(change.engine_uuid);
  }
  void operator()(RecordReply& change) const {
    if (!change.engine_uuid.empty()) {
      record.engine_uuid = std::move(change.engine_uuid);
    }
    record.received = change.received;
    record.reply = std::move(change.reply);
  }
  void operator()(RecordOutput& change) const {
    if (change.msg_type == "stream") {
      apply_stream(record, change.output, limits);
    } else if (change.msg_type == "execute_input") {
      record.execute_input = kept_content(change, limits);
    } else if (change.msg_type == "execute_result") {
      record.execute_result = kept_content(change, limits);
    } else if (change.msg_type == "error") {
      record.error = kept_content(change, limits);
    } else if (change.msg_type == "display_data") {
      record.display_data = kept_content(change, limits);
    }
  }
  void operator()(RecordResubmission& change) const {
    record.resubmitted = std::move(change.new_msg_id);
  }
};

}  // namespace

void apply_change(TaskRecord& record, RecordChange change, const RecordLimits& limits) {
  std::visit(Applier{record, limits}, change);
}

bool begins_record(const RecordChange& change) {
  return !std::holds_alternative<RecordAssignment>(change) &&
         !std::holds_alternative<RecordResubmission>(change);
}

}  // namespace ipf
