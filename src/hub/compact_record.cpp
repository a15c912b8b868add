#include "hub/compact_record.hpp"

#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/check.hpp"
#include "protocol/frames.hpp"

namespace ipf {

namespace {

/// What stands where the length of a frame would.
constexpr std::uint32_t in_large = 0xffffffffU;
constexpr std::uint32_t same_as_header = 0xfffffffeU;

struct Head {
  bool has_request{};
  bool has_reply{};
  bool has_received{};
  bool stdout_truncated{};
  bool stderr_truncated{};
  std::int8_t queue{-1};
  std::uint32_t request_buffers{};
  std::uint32_t reply_buffers{};
  std::int64_t received{};
};

template <class Record>
auto texts_of(Record& record) {
  return std::array{&record.engine_uuid,
                    &record.resubmitted,
                    &record.stdout_text.text,
                    &record.stderr_text.text,
                    &record.execute_input,
                    &record.execute_result,
                    &record.error,
                    &record.display_data};
}

class Writer {
 public:
  Writer(std::string& out, std::vector<SharedBytes>& large) : out_(out), large_(large) {}

  void head(const Head& head) { out_.append(reinterpret_cast<const char*>(&head), sizeof(head)); }
  void number(std::uint32_t value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void text(std::string_view text) {
    number(static_cast<std::uint32_t>(text.size()));
    out_ += text;
  }
  void frame(const Frames& frames, std::size_t index) {
    if (frames[index].size() > Frames::packed_frame_max) {
      number(in_large);
      large_.push_back(frames.shared(index));
    } else {
      text(frames[index]);
    }
  }

 private:
  std::string& out_;
  std::vector<SharedBytes>& large_;
};

class Reader {
 public:
  Reader(const char* at, const std::vector<SharedBytes>* large) : at_(at), large_(large) {}

  Head head() {
    Head head;
    std::memcpy(&head, at_, sizeof(head));
    at_ += sizeof(head);
    return head;
  }
  std::uint32_t number() {
    std::uint32_t value = 0;
    std::memcpy(&value, at_, sizeof(value));
    at_ += sizeof(value);
    return value;
  }
  std::string_view text(std::uint32_t size) {
    const std::string_view found(at_, size);
    at_ += size;
    return found;
  }
  std::string_view text() { return text(number()); }
  /// Adds the frame and says what is in it.
  std::string_view frame(FramesBuilder& to, std::string_view header = {}) {
    const auto size = number();
    if (size == in_large) {
      IPF_CHECK(large_ != nullptr && next_large_ < large_->size());
      const auto& shared = (*large_)[next_large_++];
      to.add(shared);
      return shared.bytes;
    }
    const auto found = size == same_as_header ? header : text(size);
    to.add(found);
    return found;
  }

 private:
  const char* at_;
  const std::vector<SharedBytes>* large_;
  std::size_t next_large_{};
};

constexpr std::size_t header_at = 2;  // behind the delimiter
constexpr std::size_t parent_at = 3;
constexpr std::size_t metadata_at = 4;
constexpr std::size_t content_at = 5;

void write_message(Writer& writer, const Message& message) {
  const std::size_t first = message.identity_count();
  writer.frame(message.frames(), first + header_at);
  writer.frame(message.frames(), first + metadata_at);
  writer.frame(message.frames(), first + content_at);
  for (std::size_t i = message.first_buffer(); i < message.frames().size(); ++i) {
    writer.frame(message.frames(), i);
  }
}

Message finish(FramesBuilder& builder) {
  auto message = Message::split(builder.finish());
  IPF_CHECK(message);
  return std::move(*message);
}

}  // namespace

CompactRecord::CompactRecord(const TaskRecord& record) {
  thread_local std::string out;  // keeps its memory from record to record
  out.clear();
  std::vector<SharedBytes> large;
  Writer writer(out, large);
  writer.head(
      {.has_request = record.request.has_value(),
       .has_reply = record.reply.has_value(),
       .has_received = record.received.has_value(),
       .stdout_truncated = record.stdout_text.truncated,
       .stderr_truncated = record.stderr_text.truncated,
       .queue = static_cast<std::int8_t>(record.queue ? static_cast<int>(*record.queue) : -1),
       .request_buffers =
           record.request ? static_cast<std::uint32_t>(record.request->buffer_count()) : 0,
       .reply_buffers = record.reply ? static_cast<std::uint32_t>(record.reply->buffer_count()) : 0,
       .received = record.received ? record.received->microseconds : 0});
  for (const auto* text : texts_of(record)) {
    writer.text(*text);
  }
  if (record.request) {
    write_message(writer, *record.request);
  }
  if (record.reply) {
    if (record.request && record.reply->parent() == record.request->header()) {
      writer.number(same_as_header);
    } else {
      writer.frame(record.reply->frames(), record.reply->identity_count() + parent_at);
    }
    write_message(writer, *record.reply);
  }
  size_ = static_cast<std::uint32_t>(out.size());
  packed_ = std::make_unique_for_overwrite<char[]>(out.size());  // NOLINT(modernize-avoid-c-arrays)
  std::memcpy(packed_.get(), out.data(), out.size());
  if (!large.empty()) {
    large_ = std::make_unique<std::vector<SharedBytes>>(std::move(large));
  }
}

TaskRecord CompactRecord::unpack(const std::string& msg_id) const {
  Reader reader(packed_.get(), large_.get());
  const Head head = reader.head();
  TaskRecord record{.msg_id = msg_id};
  for (auto* text : texts_of(record)) {
    *text = reader.text();
  }
  record.stdout_text.truncated = head.stdout_truncated;
  record.stderr_text.truncated = head.stderr_truncated;
  if (head.queue >= 0) {
    record.queue = static_cast<TaskQueue>(head.queue);
  }
  if (head.has_received) {
    record.received = WallTime{head.received};
  }
  FramesBuilder builder;
  std::string_view header;
  if (head.has_request) {
    builder.add(delimiter);
    builder.add(std::string_view{});
    header = reader.frame(builder);
    builder.add("{}");
    reader.frame(builder);
    reader.frame(builder);
    for (std::uint32_t i = 0; i < head.request_buffers; ++i) {
      reader.frame(builder);
    }
    record.request = finish(builder);
  }
  if (head.has_reply) {
    // The parent is first here, and behind the header in the message.
    FramesBuilder parent;
    const auto parent_text = reader.frame(parent, header);
    builder.add(delimiter);
    builder.add(std::string_view{});
    reader.frame(builder);
    builder.add(parent_text);
    reader.frame(builder);
    reader.frame(builder);
    for (std::uint32_t i = 0; i < head.reply_buffers; ++i) {
      reader.frame(builder);
    }
    record.reply = finish(builder);
  }
  return record;
}

bool CompactRecord::has_request() const {
  return Reader(packed_.get(), large_.get()).head().has_request;
}

std::size_t CompactRecord::bytes() const {
  std::size_t bytes = size_;
  if (large_) {
    for (const auto& shared : *large_) {
      bytes += shared.bytes.size() + sizeof(SharedBytes);
    }
  }
  return bytes;
}

}  // namespace ipf
