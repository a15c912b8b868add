#pragma once

#include <cstddef>
#include <string>
#include <termios.h>
#include <vector>

#include "core/clock.hpp"
#include "net/signals.hpp"

namespace ipf::top {

/// The terminal while a table is shown: its second screen without cursor, echo and line editing.
/// The destructor puts everything back, so whoever owns it must leave by returning; SIGINT,
/// SIGTERM, SIGHUP and SIGQUIT therefore come out of wait(). Make it before any thread starts. One
/// thread.
class Terminal {
 public:
  Terminal(int in, int out);
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal();

  struct Size {
    std::size_t rows{24};
    std::size_t columns{80};
  };
  [[nodiscard]] Size size() const;

  /// Shows these lines, cut to the size; what stood there is overwritten, never cleared first, so
  /// nothing flickers.
  void draw(const std::vector<std::string>& lines) const;

  enum class Event { none, leave, resized };
  /// The first thing that happens within `limit`: q, Q, Ctrl-C, the end of the input or a signal
  /// (leave), or another size.
  Event wait(Duration limit);

 private:
  [[nodiscard]] Event read_keys() const;
  void write(const std::string& text) const;

  int in_;
  int out_;
  bool watches_keys_{true};
  termios before_{};
  bool changed_{};
  SignalFd signals_;
};

}  // namespace ipf::top
