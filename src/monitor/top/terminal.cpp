#include "monitor/top/terminal.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <poll.h>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/file_io.hpp"

namespace ipf::top {

namespace {

constexpr std::string_view enter = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view leave = "\x1b[?25h\x1b[?1049l";
constexpr char ctrl_c = 3;

}  // namespace

Terminal::Terminal(int in, int out)
    : in_(in),
      out_(out),
      signals_((block_signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH}),
                std::initializer_list<int>{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH})) {
  watches_keys_ = tcgetattr(in_, &before_) == 0;
  if (watches_keys_) {
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    changed_ = tcsetattr(in_, TCSANOW, &raw) == 0;
  }
  write(std::string(enter));
}

Terminal::~Terminal() {
  write(std::string(leave));
  if (changed_) {
    tcsetattr(in_, TCSANOW, &before_);
  }
}

void Terminal::write(const std::string& text) const {
  static_cast<void>(write_all(out_, text));  // a terminal that is gone also ends the input
}

Terminal::Size Terminal::size() const {
  winsize window{};
  if (ioctl(out_, TIOCGWINSZ, &window) != 0 || window.ws_row == 0 || window.ws_col == 0) {
    return {};
  }
  return {.rows = window.ws_row, .columns = window.ws_col};
}

void Terminal::draw(const std::vector<std::string>& lines) const {
  const Size size = this->size();
  std::string text = "\x1b[H";
  const std::size_t shown = std::min(lines.size(), size.rows);
  for (std::size_t i = 0; i < shown; ++i) {
    text += lines[i].substr(0, size.columns);
    text += "\x1b[K";
    text += i + 1 < shown ? "\r\n" : "";
  }
  write(text + "\x1b[J");
}

Terminal::Event Terminal::read_keys() const {
  std::array<char, 64> keys{};
  const ssize_t got = read(in_, keys.data(), keys.size());
  if (got <= 0) {
    return got < 0 && errno == EINTR ? Event::none : Event::leave;
  }
  const std::string_view typed(keys.data(), static_cast<std::size_t>(got));
  return std::ranges::any_of(typed,
                             [](char key) { return key == 'q' || key == 'Q' || key == ctrl_c; })
             ? Event::leave
             : Event::none;
}

Terminal::Event Terminal::wait(Duration limit) {
  const TimePoint deadline = steady_now() + limit;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_now());
    std::array<pollfd, 2> watched{pollfd{.fd = signals_.fd(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = in_, .events = POLLIN, .revents = 0}};
    const int ready = poll(watched.data(), watches_keys_ ? 2 : 1,
                           static_cast<int>(std::max<long long>(left.count(), 0)));
    if (ready == 0) {
      return Event::none;
    }
    if (watched[0].revents != 0) {
      const int signal = signals_.take();
      if (signal != 0) {
        return signal == SIGWINCH ? Event::resized : Event::leave;
      }
    }
    if (watched[1].revents != 0) {
      if (const Event event = read_keys(); event != Event::none) {
        return event;
      }
    }
  }
}

}  // namespace ipf::top
