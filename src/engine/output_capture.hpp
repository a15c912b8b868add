#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include "core/result.hpp"
#include "engine/utf8_stream.hpp"

namespace ipf::engine {

/// Catches what reaches file descriptors 1 and 2 of the process past Python: printf in C code,
/// programs that user code starts, forked children. Each becomes a pipe that the IO thread reads;
/// what it reads is copied to where the descriptor pointed before, unless that would block.
///
/// Made before the nanny is split off, so that it can still copy the last words of an engine that
/// crashed. One thread of a process reads. The destructor gives the descriptors back.
class OutputCapture {
 public:
  static constexpr std::size_t streams = 2;  ///< 0: stdout, 1: stderr

  /// Makes the pipes; nothing is caught yet.
  static Result<std::unique_ptr<OutputCapture>> create();
  OutputCapture(const OutputCapture&) = delete;
  OutputCapture& operator=(const OutputCapture&) = delete;
  ~OutputCapture();

  /// The read and write ends of both pipes, in the order of adopt().
  [[nodiscard]] std::array<int, 4> pipe_ends() const;
  /// The same in a process that got the descriptors from another one; what descriptors 1 and 2 are
  /// at the moment is where the caught bytes are copied.
  static std::unique_ptr<OutputCapture> adopt(const std::array<int, 4>& pipe_ends);
  /// From now on descriptors 1 and 2 of this process are caught.
  void redirect();
  /// From now on nothing is copied: the original is a terminal that shows the messages anyway.
  void keep_to_itself() { copies_ = false; }
  /// What is read from now on is thrown away: neither copied nor given to anybody.
  void discard(bool discards) { discards_ = discards; }
  /// In the nanny: only look for what the engine has left behind.
  void only_watch();

  /// To be polled for input.
  [[nodiscard]] int fd(std::size_t stream) const { return caught_[stream].read_end; }
  /// Reads what is there and appends it as UTF-8, at most about 64 KiB. Never blocks.
  void read(std::size_t stream, std::string& text);
  /// Copies what is left in the pipes.
  void copy_rest();
  /// True when read() would find something now.
  [[nodiscard]] bool waiting() const;

 private:
  struct Caught {
    int read_end{-1};
    int write_end{-1};
    int original{-1};
    Utf8Stream decoder{};
  };
  OutputCapture() = default;

  std::array<Caught, streams> caught_{};
  bool redirected_{};
  bool copies_{true};
  bool discards_{};
};

}  // namespace ipf::engine
