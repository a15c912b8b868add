#include "monitor/top/top.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include "monitor/top/figures.hpp"
#include "monitor/top/figures_text.hpp"
#include "monitor/top/observer.hpp"
#include "monitor/top/terminal.hpp"

namespace ipf::top {

namespace {

/// After that much more than an interval the view says that it has to wait, and how long.
constexpr Duration notice_after = std::chrono::seconds(1);

Duration seconds(double count) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(count));
}

std::string seconds_text(Duration duration) {
  return std::to_string(std::chrono::round<std::chrono::seconds>(duration).count()) + " s";
}

/// Whether the output is a terminal that can move its cursor.
bool is_screen() {
  const char* const kind = std::getenv("TERM");  // NOLINT(concurrency-mt-unsafe): one thread yet
  return isatty(STDOUT_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

/// One run: looks, shows, and decides when to end.
class Top {
 public:
  Top(const TopCommand& command, const ProfilePaths& paths, std::ostream& out, std::ostream& err);
  int run();

 private:
  /// Waits for what the user does; sets `left_`.
  void attend(Duration limit);
  void pause(TimePoint until);
  /// While a look takes its time: true when it is to be given up.
  bool tick();
  void show();
  void show_trouble(const std::string& text);
  int give_up(const std::string& text);
  [[nodiscard]] bool live() const { return terminal_ != nullptr; }
  [[nodiscard]] Duration silence() const { return steady_now() - answered_; }

  const TopCommand& command_;
  std::ostream& out_;
  std::ostream& err_;
  const std::string title_;
  const std::filesystem::path client_file_;
  const bool endless_;
  std::unique_ptr<Terminal> terminal_;
  bool left_{};
  TimePoint answered_{steady_now()};  ///< the last time, or the start
  TimePoint next_notice_{};
  std::optional<Snapshot> shown_{};
  std::optional<Rates> rates_{};
};

Top::Top(const TopCommand& command, const ProfilePaths& paths, std::ostream& out, std::ostream& err)
    : command_(command),
      out_(out),
      err_(err),
      title_("ipcluster top: " + paths.dir.string() +
             (paths.cluster_id.empty() ? "" : ", cluster " + paths.cluster_id)),
      client_file_(paths.client_file()),
      endless_(!command.once && (command.json || is_screen())) {
  if (endless_ && !command.json) {
    terminal_ = std::make_unique<Terminal>(STDIN_FILENO, STDOUT_FILENO);
  }
}

void Top::attend(Duration limit) {
  if (!live()) {
    std::this_thread::sleep_for(limit);
    return;
  }
  switch (terminal_->wait(limit)) {
    case Terminal::Event::leave:
      left_ = true;
      break;
    case Terminal::Event::resized:
      show();
      break;
    case Terminal::Event::none:
      break;
  }
}

void Top::pause(TimePoint until) {
  while (!left_ && steady_now() < until) {
    attend(until - steady_now());
  }
}

bool Top::tick() {
  attend(Duration{0});
  const TimePoint now = steady_now();
  if (live() && shown_ && silence() > seconds(command_.interval_seconds) + notice_after &&
      now >= next_notice_) {
    next_notice_ = now + notice_after;
    show_trouble("no answer yet");
  }
  return left_;
}

void Top::show() {
  if (!shown_) {
    return;
  }
  if (command_.json) {
    out_ << json_line(*shown_, rates_) << '\n' << std::flush;
    return;
  }
  std::vector<std::string> lines = table(*shown_, rates_, title_, shown_->engines.size());
  if (live()) {
    const std::size_t rows = terminal_->size().rows;
    if (lines.size() > rows) {
      const std::size_t around = lines.size() - shown_->engines.size() + 1;
      lines = table(*shown_, rates_, title_, rows > around ? rows - around : 0);
    }
    terminal_->draw(lines);
    return;
  }
  for (const std::string& line : lines) {
    out_ << line << '\n';
  }
  out_ << std::flush;
}

void Top::show_trouble(const std::string& text) {
  if (command_.json) {
    out_ << json_failure(wall_now(), text) << '\n' << std::flush;
    return;
  }
  if (!live()) {
    return;
  }
  std::vector<std::string> lines{
      title_, "No answer of the controller for " + seconds_text(silence()) + " of " +
                  seconds_text(seconds(command_.timeout_seconds)) + ": " + text};
  if (shown_) {
    const std::vector<std::string> old = table(*shown_, rates_, title_, shown_->engines.size());
    lines.insert(lines.end(), old.begin() + 1, old.end());
  }
  terminal_->draw(lines);
}

int Top::give_up(const std::string& text) {
  terminal_.reset();  // before the reason, which would vanish with its second screen
  err_ << "ipcluster: " << (shown_ ? "the controller does not answer any more: " : "no answer: ")
       << text << '\n';
  return exit_failed;
}

int Top::run() {
  const Duration patience = seconds(command_.timeout_seconds);
  Observer observer(client_file_, [this] { return tick(); });
  for (int looks = 0;;) {
    const TimePoint next = steady_now() + seconds(command_.interval_seconds);
    Result<Snapshot> seen = observer.look(patience - silence());
    if (left_) {
      return 0;
    }
    if (seen) {
      rates_.reset();
      if (shown_) {
        rates_ = rates_between(*shown_, *seen);
      }
      shown_ = std::move(*seen);
      answered_ = steady_now();
      show();
      ++looks;
      if (!endless_ || looks == command_.count || !out_) {
        return 0;
      }
    } else if (silence() >= patience || (!shown_ && seen.error().code == ErrorCode::not_found)) {
      return give_up(seen.error().message);
    } else {
      show_trouble(seen.error().message);
    }
    pause(std::min(next, answered_ + patience));
    if (left_) {
      return 0;
    }
  }
}

}  // namespace

int run_top(const TopCommand& command,
            const ProfilePaths& paths,
            std::ostream& out,
            std::ostream& err) {
  return Top(command, paths, out, err).run();
}

}  // namespace ipf::top
