#include "journal/task_journal.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <unistd.h>
#include <utility>

#include "core/file_io.hpp"
#include "core/text.hpp"

namespace ipf {

namespace {

Result<void> collect(const std::filesystem::path& path, JournalCollector& out) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return {};
  }
  std::ifstream file(path, std::ios::binary);
  std::string bytes(std::filesystem::file_size(path, error), '\0');
  if (error || !file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
    return unexpected(ErrorCode::io, "cannot read the task journal " + path.string());
  }
  if (const auto taken = out.take_file(bytes); !taken) {
    return unexpected(taken.error().code, path.string() + " " + taken.error().message +
                                              "; remove it, or start without --restore");
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

Result<JournalContents> TaskJournal::read(const std::filesystem::path& path) {
  JournalCollector collected;
  IPF_TRY(collect(with_suffix(path, ".old"), collected));
  IPF_TRY(collect(path, collected));
  return std::move(collected).finish();
}

void TaskJournal::remove(const std::filesystem::path& path) {
  std::error_code ignored;
  for (const char* suffix : {"", ".old", ".new"}) {
    std::filesystem::remove(with_suffix(path, suffix), ignored);
  }
}

Result<TaskJournal> TaskJournal::create(std::filesystem::path path,
                                        const Options& options,
                                        const JournalContents& contents) {
  TaskJournal journal(std::move(path), options);
  journal.seed_ = contents.seed.value_or(0);
  append_magic(journal.buffer_);
  append_seed(journal.buffer_, journal.seed_);
  append_outcomes(journal.buffer_, contents.outcomes);
  std::vector<const JournaledTask*> handed_over;
  for (const auto& task : contents.tasks) {
    journal.submitted(task.msg_id, *task.request);
    if (task.progress) {
      journal.returned(task.msg_id, *task.progress);
    }
    if (task.reply) {
      journal.answered(task.msg_id, task.engine_uuid, *task.reply, task.made_here);
    } else if (!task.engine_uuid.empty()) {
      handed_over.push_back(&task);
    }
  }
  std::ranges::sort(handed_over, {}, &JournaledTask::handed_over);
  for (const auto* task : handed_over) {
    journal.assigned(task->msg_id, task->engine_uuid);
  }
  auto fd = create_file(with_suffix(journal.path_, ".new"));
  if (!fd) {
    return unexpected(fd.error());
  }
  if (const auto done = journal.write_out(*fd, journal.buffer_); !done) {
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
      seed_(other.seed_),
      remembered_(std::move(other.remembered_)),
      next_order_(other.next_order_),
      handed_over_(other.handed_over_),
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
  found->second.handed_over = ++handed_over_;
  append_assignment(buffer_, msg_id, engine_uuid);
}

void TaskJournal::returned(const std::string& msg_id, const TaskProgress& progress) {
  const auto found = open_.find(msg_id);
  if (found == open_.end()) {
    return;
  }
  found->second.engine_uuid.clear();
  found->second.progress = progress;
  append_return(buffer_, msg_id, progress);
}

void TaskJournal::answered(const std::string& msg_id,
                           std::string_view engine_uuid,
                           const Message& reply,
                           bool made_here) {
  const auto found = open_.find(msg_id);
  if (found == open_.end()) {
    return;
  }
  open_bytes_ -= found->second.request.frames().total_bytes();
  open_.erase(found);
  append_answer(buffer_, msg_id, engine_uuid, reply, made_here);
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
  if (const auto done = write_out(fd_, buffer_); !done) {
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

Result<void> TaskJournal::write_out(int fd, std::string_view bytes) {
  if (const int code = write_all(fd, bytes); code != 0) {
    return unexpected(ErrorCode::io,
                      "cannot write the task journal " + path_.string() + ": " + errno_text(code));
  }
  return {};
}

Result<void> TaskJournal::append_open_tasks(std::string& bytes,
                                            const std::function<Result<void>()>& empty) const {
  constexpr std::size_t block = std::size_t{4} << 20U;
  std::vector<OpenTask*> tasks;
  tasks.reserve(open_.size());
  for (const auto& entry : open_) {
    tasks.push_back(&entry);
  }
  std::ranges::sort(tasks, {}, [](OpenTask* task) { return task->second.order; });
  for (const auto* task : tasks) {
    append_submission(bytes, task->first, task->second.request);
    if (task->second.progress) {
      append_return(bytes, task->first, *task->second.progress);
    }
    if (bytes.size() > block) {
      IPF_TRY(empty());
    }
  }
  std::erase_if(tasks, [](OpenTask* task) { return task->second.engine_uuid.empty(); });
  std::ranges::sort(tasks, {}, [](OpenTask* task) { return task->second.handed_over; });
  for (const auto* task : tasks) {
    append_assignment(bytes, task->first, task->second.engine_uuid);
  }
  return empty();
}

Result<void> TaskJournal::rotate(TimePoint now) {
  auto created = create_file(with_suffix(path_, ".new"));
  if (!created) {
    return unexpected(created.error());
  }
  const int fd = *created;
  std::string bytes;
  append_magic(bytes);
  append_seed(bytes, seed_);
  append_outcomes(bytes, remembered_ ? remembered_() : std::vector<RememberedOutcome>{});
  std::size_t total = 0;
  auto done = append_open_tasks(bytes, [&] {
    auto written = write_out(fd, bytes);
    total += bytes.size();
    bytes.clear();
    return written;
  });
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
