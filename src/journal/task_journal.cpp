#include "journal/task_journal.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <unistd.h>
#include <utility>

#include "core/text.hpp"

namespace ipf {

namespace {

// The file is `magic`, then records: u32 size of what follows, u8 kind, texts as u32 size and
// bytes, messages as u32 number of frames and each frame as a text. Native byte order: a journal is
// read on a machine like the one that wrote it.
constexpr std::string_view magic = "ipyfleet task journal 1\n";
constexpr char kind_submitted = 'S';
constexpr char kind_assigned = 'A';
constexpr char kind_answered = 'R';

void append_number(std::string& out, std::size_t value) {
  const auto number = static_cast<std::uint32_t>(value);
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void append_text(std::string& out, std::string_view text) {
  append_number(out, text.size());
  out += text;
}

/// The frames from the delimiter on.
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
  std::uint32_t number() {
    std::uint32_t out = 0;
    if (const std::string_view bytes = take(sizeof out); bytes.size() == sizeof out) {
      std::memcpy(&out, bytes.data(), sizeof out);
    }
    return out;
  }
  std::string_view text() { return take(number()); }
  std::optional<Message> message() {
    FramesBuilder builder;
    for (std::uint32_t left = number(); left > 0 && ok_; --left) {
      builder.add(text());
    }
    auto message = Message::split(builder.finish());
    ok_ = ok_ && message.has_value();
    return ok_ ? std::optional(std::move(*message)) : std::nullopt;
  }

 private:
  std::string_view bytes_;
  bool ok_{true};
};

/// Tasks by msg_id, in order of submission.
struct Collected {
  std::vector<JournaledTask> tasks{};
  std::unordered_map<std::string, std::size_t> places{};

  JournaledTask& task(std::string_view msg_id) {
    const auto [found, is_new] = places.emplace(std::string(msg_id), tasks.size());
    if (is_new) {
      tasks.push_back({.msg_id = std::string(msg_id)});
    }
    return tasks[found->second];
  }

  void take(std::string_view record) {
    Reader reader(record);
    const std::string_view kind = reader.take(1);
    const std::string_view msg_id = reader.text();
    if (!reader.ok()) {
      return;
    }
    if (kind[0] == kind_submitted) {
      if (auto request = reader.message()) {
        task(msg_id).request = std::move(request);
      }
    } else if (kind[0] == kind_assigned) {
      task(msg_id).engine_uuid = reader.text();
    } else if (kind[0] == kind_answered) {
      const std::string_view engine = reader.text();
      if (auto reply = reader.message()) {
        JournaledTask& answered = task(msg_id);
        answered.engine_uuid = engine;
        answered.reply = std::move(reply);
      }
    }
  }
};

Result<void> collect(const std::filesystem::path& path, Collected& out) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return {};
  }
  std::ifstream file(path, std::ios::binary);
  std::string bytes(std::filesystem::file_size(path, error), '\0');
  if (error || !file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
    return unexpected(ErrorCode::io, "cannot read the task journal " + path.string());
  }
  if (!std::string_view(bytes).starts_with(magic)) {
    return unexpected(ErrorCode::malformed,
                      path.string() +
                          " is no task journal of this version; remove it, or start "
                          "without --restore");
  }
  Reader reader(std::string_view(bytes).substr(magic.size()));
  while (!reader.at_end()) {
    const std::string_view record = reader.text();
    if (!reader.ok()) {
      break;
    }
    out.take(record);
  }
  return {};
}

std::filesystem::path with_suffix(const std::filesystem::path& path, const char* suffix) {
  return path.string() + suffix;
}

Result<int> create_file(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return unexpected(ErrorCode::io,
                      "cannot create the task journal " + path.string() + ": " + errno_text(errno));
  }
  return fd;
}

}  // namespace

Result<std::vector<JournaledTask>> TaskJournal::read(const std::filesystem::path& path) {
  Collected collected;
  IPF_TRY(collect(with_suffix(path, ".old"), collected));
  IPF_TRY(collect(path, collected));
  std::erase_if(collected.tasks, [](const JournaledTask& task) { return !task.request; });
  return std::move(collected.tasks);
}

void TaskJournal::remove(const std::filesystem::path& path) {
  std::error_code ignored;
  for (const char* suffix : {"", ".old", ".new"}) {
    std::filesystem::remove(with_suffix(path, suffix), ignored);
  }
}

Result<TaskJournal> TaskJournal::create(std::filesystem::path path,
                                        const Options& options,
                                        const std::vector<JournaledTask>& tasks) {
  TaskJournal journal(std::move(path), options);
  journal.buffer_ = magic;
  for (const auto& task : tasks) {
    journal.submitted(task.msg_id, *task.request);
    if (task.reply) {
      journal.answered(task.msg_id, task.engine_uuid, *task.reply);
    } else if (!task.engine_uuid.empty()) {
      journal.assigned(task.msg_id, task.engine_uuid);
    }
  }
  auto fd = create_file(with_suffix(journal.path_, ".new"));
  if (!fd) {
    return unexpected(fd.error());
  }
  if (const auto done = journal.write_all(*fd, journal.buffer_); !done) {
    close(*fd);
    return unexpected(done.error());
  }
  IPF_TRY(journal.adopt(*fd, journal.buffer_.size(), TimePoint{}));
  std::error_code ignored;  // all of it is in the new file
  std::filesystem::remove(with_suffix(journal.path_, ".old"), ignored);
  return journal;
}

TaskJournal::TaskJournal(std::filesystem::path path, const Options& options)
    : path_(std::move(path)), options_(options) {}

TaskJournal::TaskJournal(TaskJournal&& other) noexcept
    : path_(std::move(other.path_)),
      options_(other.options_),
      fd_(std::exchange(other.fd_, -1)),
      buffer_(std::move(other.buffer_)),
      written_(other.written_),
      open_bytes_(other.open_bytes_),
      next_order_(other.next_order_),
      open_(std::move(other.open_)),
      rotate_after_(other.rotate_after_),
      failing_(other.failing_),
      retry_at_(other.retry_at_) {}

TaskJournal::~TaskJournal() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

void TaskJournal::submitted(const std::string& msg_id, const Message& request) {
  const auto [at, is_new] = open_.try_emplace(msg_id, Open{.request = request});
  if (!is_new) {
    return;
  }
  at->second.order = next_order_++;
  open_bytes_ += request.frames().total_bytes();
  append_submission(buffer_, msg_id, request);
}

void TaskJournal::assigned(const std::string& msg_id, std::string_view engine_uuid) {
  const auto found = open_.find(msg_id);
  if (found == open_.end()) {
    return;
  }
  found->second.engine_uuid = engine_uuid;
  append_assignment(buffer_, msg_id, engine_uuid);
}

void TaskJournal::answered(const std::string& msg_id,
                           std::string_view engine_uuid,
                           const Message& reply) {
  const auto found = open_.find(msg_id);
  if (found == open_.end()) {
    return;
  }
  open_bytes_ -= found->second.request.frames().total_bytes();
  open_.erase(found);
  const std::size_t at = begin_record(buffer_, kind_answered);
  append_text(buffer_, msg_id);
  append_text(buffer_, engine_uuid);
  append_message(buffer_, reply);
  end_record(buffer_, at);
}

Result<void> TaskJournal::flush(TimePoint now) {
  if (failing_) {
    buffer_.clear();
    if (now < retry_at_) {
      return {};
    }
    if (const auto again = rotate(now); !again) {
      retry_at_ = now + options_.retry_time;
      return {};
    }
    failing_ = false;
    return {};
  }
  if (buffer_.empty()) {
    return {};
  }
  if (const auto done = write_all(fd_, buffer_); !done) {
    return fail(now, done.error());
  }
  written_ += buffer_.size();
  buffer_.clear();
  if (written_ > std::max(options_.rotate_bytes, 2 * open_bytes_) && now >= rotate_after_) {
    if (const auto done = rotate(now); !done) {
      return fail(now, done.error());
    }
  }
  return {};
}

Result<void> TaskJournal::fail(TimePoint now, const Error& error) {
  failing_ = true;
  retry_at_ = now + options_.retry_time;
  buffer_.clear();
  return unexpected(error);
}

Result<void> TaskJournal::write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      return unexpected(ErrorCode::io, "cannot write the task journal " + path_.string() + ": " +
                                           errno_text(errno));
    }
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

Result<void> TaskJournal::rotate(TimePoint now) {
  std::vector<const std::pair<const std::string, Open>*> in_order;
  in_order.reserve(open_.size());
  for (const auto& entry : open_) {
    in_order.push_back(&entry);
  }
  std::sort(in_order.begin(), in_order.end(),
            [](const auto* a, const auto* b) { return a->second.order < b->second.order; });
  auto created = create_file(with_suffix(path_, ".new"));
  if (!created) {
    return unexpected(created.error());
  }
  const int fd = *created;
  std::string bytes(magic);
  std::size_t total = 0;
  Result<void> done{};
  const auto write_out = [&] {
    done = write_all(fd, bytes);
    total += bytes.size();
    bytes.clear();
  };
  constexpr std::size_t block = std::size_t{4} << 20U;
  for (const auto* entry : in_order) {
    append_submission(bytes, entry->first, entry->second.request);
    if (!entry->second.engine_uuid.empty()) {
      append_assignment(bytes, entry->first, entry->second.engine_uuid);
    }
    if (bytes.size() > block && done) {
      write_out();
    }
  }
  if (done) {
    write_out();
  }
  if (!done) {
    close(fd);
    return done;
  }
  return adopt(fd, total, now);
}

Result<void> TaskJournal::adopt(int fd, std::size_t size, TimePoint now) {
  // Between these two steps the old file holds everything; afterwards the new one all that is open.
  std::error_code error;
  if (std::filesystem::exists(path_, error)) {
    std::filesystem::rename(path_, with_suffix(path_, ".old"), error);
  }
  std::filesystem::rename(with_suffix(path_, ".new"), path_, error);
  if (error) {
    close(fd);
    return unexpected(ErrorCode::io,
                      "cannot replace the task journal " + path_.string() + ": " + error.message());
  }
  if (fd_ >= 0) {
    close(fd_);
  }
  fd_ = fd;
  buffer_.clear();
  written_ = size;
  rotate_after_ = now + options_.settle_time;
  return {};
}

}  // namespace ipf
