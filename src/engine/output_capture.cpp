#include "engine/output_capture.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <string_view>
#include <unistd.h>

#include "core/text.hpp"

namespace ipf::engine {

namespace {

constexpr int first_descriptor = 1;
constexpr std::size_t read_max = 65536;
/// A pipe that poll() calls writable has room for this much (PIPE_BUF).
constexpr std::size_t write_max = 4096;

/// Writes as long as that cannot block: a stopped terminal must not stop the engine.
void copy(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    pollfd item{fd, POLLOUT, 0};
    if (poll(&item, 1, 0) != 1 || (item.revents & POLLOUT) == 0) {
      return;
    }
    const ssize_t written = write(fd, bytes.data(), std::min(bytes.size(), write_max));
    if (written <= 0) {
      return;
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

int descriptor_of(std::size_t stream) {
  return first_descriptor + static_cast<int>(stream);
}

}  // namespace

Result<std::unique_ptr<OutputCapture>> OutputCapture::create() {
  std::unique_ptr<OutputCapture> capture(new OutputCapture());
  for (std::size_t i = 0; i < streams; ++i) {
    std::array<int, 2> ends{};
    Caught& caught = capture->caught_[i];
    caught.original = fcntl(descriptor_of(i), F_DUPFD_CLOEXEC, descriptor_of(streams));
    if (caught.original < 0 || pipe2(ends.data(), O_CLOEXEC) != 0) {
      return unexpected(
          ErrorCode::io,
          "output of C code and child processes is not sent to clients: " + errno_text(errno));
    }
    caught.read_end = ends[0];
    caught.write_end = ends[1];
    fcntl(caught.read_end, F_SETFL, O_NONBLOCK);
  }
  return capture;
}

std::array<int, 4> OutputCapture::pipe_ends() const {
  return {caught_[0].read_end, caught_[0].write_end, caught_[1].read_end, caught_[1].write_end};
}

std::unique_ptr<OutputCapture> OutputCapture::adopt(const std::array<int, 4>& pipe_ends) {
  std::unique_ptr<OutputCapture> capture(new OutputCapture());
  for (std::size_t i = 0; i < streams; ++i) {
    Caught& caught = capture->caught_[i];
    caught.original = fcntl(descriptor_of(i), F_DUPFD_CLOEXEC, descriptor_of(streams));
    caught.read_end = pipe_ends[2 * i];
    caught.write_end = pipe_ends[2 * i + 1];
  }
  return capture;
}

void OutputCapture::redirect() {
  for (std::size_t i = 0; i < streams; ++i) {
    dup2(caught_[i].write_end, descriptor_of(i));
  }
  only_watch();
  redirected_ = true;
}

void OutputCapture::only_watch() {
  for (auto& caught : caught_) {
    close(caught.write_end);
    caught.write_end = -1;
  }
}

OutputCapture::~OutputCapture() {
  for (std::size_t i = 0; redirected_ && i < streams; ++i) {
    dup2(caught_[i].original, descriptor_of(i));
  }
  copy_rest();
  for (const auto& caught : caught_) {
    for (const int fd : {caught.original, caught.read_end, caught.write_end}) {
      if (fd >= 0) {
        close(fd);
      }
    }
  }
}

void OutputCapture::copy_rest() {
  for (std::size_t i = 0; i < streams; ++i) {
    std::string ignored;
    read(i, ignored);
  }
}

void OutputCapture::read(std::size_t stream, std::string& text) {
  Caught& caught = caught_[stream];
  std::array<char, write_max> chunk{};
  for (std::size_t total = 0; total < read_max;) {
    const ssize_t got = ::read(caught.read_end, chunk.data(), chunk.size());
    if (got <= 0) {
      return;
    }
    const std::string_view bytes(chunk.data(), static_cast<std::size_t>(got));
    total += bytes.size();
    if (discards_) {
      continue;
    }
    if (copies_) {
      copy(caught.original, bytes);
    }
    caught.decoder.add(bytes, text);
  }
}

bool OutputCapture::waiting() const {
  std::array<pollfd, streams> items{
      {{caught_[0].read_end, POLLIN, 0}, {caught_[1].read_end, POLLIN, 0}}};
  return poll(items.data(), items.size(), 0) > 0;
}

}  // namespace ipf::engine
