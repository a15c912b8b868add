#include "scheduler/journal_format.hpp"

#include <cstring>
#include <utility>

namespace ipf {

namespace {

// A file is `magic`, then records: u32 size of what follows, u8 kind, texts as u32 size and
// bytes, messages as u32 number of frames and each frame as a text, lists as u32 number and items.
// Native byte order: a journal is read on a machine like the one that wrote it. The kinds:
//   K  u64 seed
//   O  outcomes: u64 task key, u64 engine key and outcome; to the end of the record
//   S  msg_id, request: as if nothing had been known of the task
//   A  msg_id, engine uuid
//   W  msg_id, u32 retries left, list of u64 excluded, of u64 stale, of texts killed: waits again
//   R  msg_id, engine uuid, reply, u8 whether it is the scheduler's own (older files end before)
// Version 1 had S, A and R only.
constexpr std::string_view magic = "ipyfleet task journal 2\n";
constexpr std::string_view magic_1 = "ipyfleet task journal 1\n";
constexpr char kind_seed = 'K';
constexpr char kind_outcomes = 'O';
constexpr char kind_submitted = 'S';
constexpr char kind_assigned = 'A';
constexpr char kind_returned = 'W';
constexpr char kind_answered = 'R';

template <class Number>
void append_raw(std::string& out, Number value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_number(std::string& out, std::size_t value) {
  append_raw(out, static_cast<std::uint32_t>(value));
}

void append_text(std::string& out, std::string_view text) {
  append_number(out, text.size());
  out += text;
}

void append_keys(std::string& out, const std::vector<std::uint64_t>& keys) {
  append_number(out, keys.size());
  for (const auto key : keys) {
    append_raw(out, key);
  }
}

void append_message(std::string& out, const Message& message) {
  const Frames& frames = message.frames();
  append_number(out, frames.size() - message.identity_count());
  for (std::size_t i = message.identity_count(); i < frames.size(); ++i) {
    append_text(out, frames[i]);
  }
}

/// Leaves room for the record's size, which end_record() fills in.
std::size_t begin_record(std::string& out, char kind) {
  const std::size_t at = out.size();
  append_number(out, 0);
  out += kind;
  return at;
}

void end_record(std::string& out, std::size_t at) {
  const auto size = static_cast<std::uint32_t>(out.size() - at - sizeof(std::uint32_t));
  std::memcpy(out.data() + at, &size, sizeof size);
}

/// Takes fields from the front; `ok` turns false at the first one that is cut off.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return bytes_.empty(); }

  std::string_view take(std::size_t size) {
    if (size > bytes_.size()) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    const std::string_view out = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return out;
  }
  template <class Number>
  Number raw() {
    Number out = 0;
    if (const std::string_view bytes = take(sizeof out); bytes.size() == sizeof out) {
      std::memcpy(&out, bytes.data(), bytes.size());
    }
    return out;
  }
  std::uint32_t number() { return raw<std::uint32_t>(); }
  std::string_view text() { return take(number()); }
  std::vector<std::uint64_t> keys() {
    std::vector<std::uint64_t> out;
    for (std::uint32_t left = number(); left > 0 && ok_; --left) {
      out.push_back(raw<std::uint64_t>());
    }
    return out;
  }
  std::optional<Message> message() {
    FramesBuilder builder;
    for (std::uint32_t left = number(); left > 0 && ok_; --left) {
      builder.add(text());
    }
    auto message = Message::split(builder.finish());
    ok_ = ok_ && message.has_value();
    return ok_ ? std::optional(std::move(*message)) : std::nullopt;
  }
  std::optional<TaskProgress> progress() {
    TaskProgress out{.retries_left = static_cast<int>(number()),
                     .excluded = keys(),
                     .stale = keys(),
                     .killed = {}};
    for (std::uint32_t left = number(); left > 0 && ok_; --left) {
      out.killed.emplace_back(text());
    }
    return ok_ ? std::optional(std::move(out)) : std::nullopt;
  }

 private:
  std::string_view bytes_;
  bool ok_{true};
};

}  // namespace

void append_magic(std::string& out) {
  out += magic;
}

void append_seed(std::string& out, std::uint64_t seed) {
  const std::size_t at = begin_record(out, kind_seed);
  append_raw(out, seed);
  end_record(out, at);
}

void append_outcomes(std::string& out, std::span<const RememberedOutcome> outcomes) {
  const std::size_t at = begin_record(out, kind_outcomes);
  for (const auto& outcome : outcomes) {
    append_raw(out, outcome.task);
    append_raw(out, outcome.engine_and_outcome);
  }
  end_record(out, at);
}

void append_submission(std::string& out, std::string_view msg_id, const Message& request) {
  const std::size_t at = begin_record(out, kind_submitted);
  append_text(out, msg_id);
  append_message(out, request);
  end_record(out, at);
}

void append_assignment(std::string& out, std::string_view msg_id, std::string_view engine_uuid) {
  const std::size_t at = begin_record(out, kind_assigned);
  append_text(out, msg_id);
  append_text(out, engine_uuid);
  end_record(out, at);
}

void append_return(std::string& out, std::string_view msg_id, const TaskProgress& progress) {
  const std::size_t at = begin_record(out, kind_returned);
  append_text(out, msg_id);
  append_number(out, static_cast<std::size_t>(progress.retries_left));
  append_keys(out, progress.excluded);
  append_keys(out, progress.stale);
  append_number(out, progress.killed.size());
  for (const auto& uuid : progress.killed) {
    append_text(out, uuid);
  }
  end_record(out, at);
}

void append_answer(std::string& out,
                   std::string_view msg_id,
                   std::string_view engine_uuid,
                   const Message& reply,
                   bool made_here) {
  const std::size_t at = begin_record(out, kind_answered);
  append_text(out, msg_id);
  append_text(out, engine_uuid);
  append_message(out, reply);
  append_raw(out, static_cast<std::uint8_t>(made_here));
  end_record(out, at);
}

// ---- reading ------------------------------------------------------------------------------------

Result<void> JournalCollector::take_file(std::string_view bytes) {
  if (!bytes.starts_with(magic) && !bytes.starts_with(magic_1)) {
    return unexpected(ErrorCode::malformed, "is no task journal of a version that is known here");
  }
  Reader reader(bytes.substr(magic.size()));
  while (!reader.at_end()) {
    const std::string_view record = reader.text();
    if (!reader.ok()) {
      break;
    }
    take_record(record);
  }
  return {};
}

JournaledTask& JournalCollector::task(std::string_view msg_id) {
  const auto [found, is_new] = places_.emplace(std::string(msg_id), contents_.tasks.size());
  if (is_new) {
    contents_.tasks.push_back({.msg_id = std::string(msg_id)});
  }
  return contents_.tasks[found->second];
}

void JournalCollector::take_record(std::string_view record) {
  Reader reader(record);
  const std::string_view kind = reader.take(1);
  if (kind == std::string_view(&kind_seed, 1)) {
    contents_.seed = reader.raw<std::uint64_t>();
    return;
  }
  if (kind == std::string_view(&kind_outcomes, 1)) {
    contents_.outcomes.clear();  // an older file's are among them
    while (!reader.at_end()) {
      const auto key = reader.raw<std::uint64_t>();
      contents_.outcomes.push_back(
          {.task = key, .engine_and_outcome = reader.raw<std::uint64_t>()});
    }
    return;
  }
  const std::string_view msg_id = reader.text();
  if (!reader.ok()) {
    return;
  }
  if (kind[0] == kind_submitted) {
    if (auto request = reader.message()) {
      task(msg_id) = {.msg_id = std::string(msg_id), .request = std::move(request)};
    }
  } else if (kind[0] == kind_assigned) {
    JournaledTask& assigned = task(msg_id);
    assigned.engine_uuid = reader.text();
    assigned.handed_over = ++handed_over_;
  } else if (kind[0] == kind_returned) {
    if (auto progress = reader.progress()) {
      JournaledTask& returned = task(msg_id);
      returned.engine_uuid.clear();
      returned.progress = std::move(progress);
    }
  } else if (kind[0] == kind_answered) {
    const std::string_view engine = reader.text();
    if (auto reply = reader.message()) {
      JournaledTask& answered = task(msg_id);
      answered.engine_uuid = engine;
      answered.reply = std::move(reply);
      answered.made_here = reader.raw<std::uint8_t>() != 0;
    }
  }
}

JournalContents JournalCollector::finish() && {
  std::erase_if(contents_.tasks, [](const JournaledTask& task) { return !task.request; });
  return std::move(contents_);
}

}  // namespace ipf
