#include "journal/spill_store.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "core/file_io.hpp"
#include "core/text.hpp"

namespace ipf {

namespace {

Unexpected io_error(const std::filesystem::path& directory, int code) {
  return unexpected(ErrorCode::io,
                    "cannot move data to disk in " + directory.string() + ": " + errno_text(code));
}

}  // namespace

SpillStore::SpillStore(Options options)
    : options_(std::move(options)), usage_(std::make_shared<Usage>()) {}

Result<Frames> SpillStore::spill(const Frames& frames) {
  FramesBuilder builder;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (frames.is_packed(i)) {
      builder.add(frames[i]);
    } else if (frames[i].size() < options_.frame_bytes_min) {
      builder.add(frames.shared(i));
    } else {
      auto stored = put(frames[i]);
      if (!stored) {
        return unexpected(stored.error());
      }
      builder.add(std::move(*stored));
    }
  }
  return builder.finish();
}

Result<SharedBytes> SpillStore::put(std::string_view bytes) {
  if (usage_->bytes + bytes.size() > options_.bytes_max || usage_->files >= options_.files_max) {
    return unexpected(ErrorCode::unavailable, "the limit of data on disk is reached");
  }
  const int fd = open(options_.directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) {
    return io_error(options_.directory, errno);
  }
  void* mapped = MAP_FAILED;
  int code = write_all(fd, bytes);
  if (code == 0) {
    mapped = mmap(nullptr, bytes.size(), PROT_READ, MAP_SHARED, fd, 0);
    code = errno;
  }
  if (mapped == MAP_FAILED) {
    close(fd);
    return io_error(options_.directory, code);
  }
  close(fd);
  usage_->bytes += bytes.size();
  ++usage_->files;
  std::shared_ptr<const void> owner(mapped, [usage = usage_, size = bytes.size()](void* at) {
    munmap(at, size);
    usage->bytes -= size;
    --usage->files;
  });
  return SharedBytes{std::move(owner), {static_cast<const char*>(mapped), bytes.size()}};
}

}  // namespace ipf
