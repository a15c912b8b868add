#include "engine/fork_server.hpp"

#include <cerrno>
#include <csignal>
#include <malloc.h>
#include <map>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/text.hpp"
#include "engine/python_start.hpp"
#include "protocol/json_text.hpp"

namespace py = pybind11;

namespace ipf::engine {

namespace {

constexpr Duration lonely_time = std::chrono::seconds(60);
constexpr Duration look_around = std::chrono::seconds(1);

class ForkServer {
 public:
  explicit ForkServer(int listening) : listening_(listening) {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) {
      sigaddset(&signals, number);
    }
    pthread_sigmask(SIG_BLOCK, &signals, &mask_before_);
    signals_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  }

  std::optional<ForkedEngine> run() {
    while (!done()) {
      std::vector<pollfd> items{{listening_, POLLIN, 0}, {signals_, POLLIN, 0}};
      for (const int nanny : nannies_) {
        items.push_back({nanny, POLLIN, 0});
      }
      constexpr int look_ms =
          std::chrono::duration_cast<std::chrono::milliseconds>(look_around).count();
      poll(items.data(), items.size(), look_ms);
      read_signals();
      reap();
      accept_nannies();
      for (std::size_t i = 2; i < items.size(); ++i) {
        if (items[i].revents == 0) {
          continue;
        }
        if (auto engine = serve(items[i].fd)) {
          return engine;
        }
      }
    }
    return std::nullopt;
  }

 private:
  [[nodiscard]] bool done() const {
    return nannies_.empty() && (had_nannies_ || stop_ || steady_now() >= lonely_until_);
  }

  void read_signals() {
    signalfd_siginfo info{};
    while (read(signals_, &info, sizeof info) == sizeof info) {
      stop_ = stop_ || info.ssi_signo != SIGCHLD;
    }
  }

  void reap() {
    int status = 0;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
      if (const auto found = owner_.find(pid); found != owner_.end()) {
        tell(found->second, {{"ended", status}, {"pid", pid}});
        owner_.erase(found);
      }
    }
  }

  void accept_nannies() {
    for (int fd = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); fd >= 0;
         fd = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)) {
      if (is_same_user(fd)) {
        nannies_.push_back(fd);
        had_nannies_ = true;
      } else {
        close(fd);
      }
    }
  }

  std::optional<ForkedEngine> serve(int nanny) {
    ForkedEngine engine;
    engine.descriptors.fill(-1);
    auto request = receive_fork_request(nanny, engine.descriptors);
    if (!request) {
      close_descriptors(engine.descriptors);
      forget(nanny);
      return std::nullopt;
    }
    engine.request = std::move(*request);
    PyOS_BeforeFork();
    const pid_t pid = fork();
    if (pid == 0) {
      become_engine();
      return engine;
    }
    const int reason = errno;
    PyOS_AfterFork_Parent();
    close_descriptors(engine.descriptors);
    if (pid < 0) {
      tell(nanny, {{"error", "cannot fork an engine: " + errno_text(reason)}});
    } else {
      owner_.emplace(pid, nanny);
      tell(nanny, {{"pid", pid}});
    }
    return std::nullopt;
  }

  void become_engine() {
    close(listening_);
    close(signals_);
    for (const int nanny : nannies_) {
      close(nanny);
    }
    setsid();  // signals to its group must not reach its siblings
    pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
    PyOS_AfterFork_Child();
  }

  static void close_descriptors(const ForkDescriptors& descriptors) {
    for (const int fd : descriptors) {
      if (fd >= 0) {
        close(fd);
      }
    }
  }

  void forget(int nanny) {
    std::erase(nannies_, nanny);
    std::erase_if(owner_, [nanny](const auto& entry) { return entry.second == nanny; });
    close(nanny);
  }

  static void tell(int nanny, const Json& what) {
    const std::string line = dump_json(what) + "\n";
    [[maybe_unused]] const auto sent =
        send(nanny, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  int listening_;
  int signals_{-1};
  sigset_t mask_before_{};
  std::vector<int> nannies_{};
  std::map<pid_t, int> owner_{};  ///< engine to nanny
  bool had_nannies_{};
  bool stop_{};
  TimePoint lonely_until_{steady_now() + lonely_time};
};

Result<void> import_all(const std::vector<std::string>& names, Log& log) {
  try {
    const auto problems = py::module_::import("ipyfleet.engine.preload")
                              .attr("preload")(names)
                              .cast<std::vector<std::string>>();
    for (const auto& problem : problems) {
      log.warning("--preload: " + problem);
    }
    return {};
  } catch (const py::error_already_set& failure) {
    return unexpected(ErrorCode::unavailable,
                      std::string("cannot load the engine's Python side: ") + failure.what());
  }
}

}  // namespace

void enter_environment(const std::vector<std::string>& environment) {
  try {
    py::module_::import("ipyfleet.engine.preload").attr("after_fork")(environment);
  } catch (const py::error_already_set&) {
    PyErr_Clear();  // a package that cannot be seeded costs no engine
  }
}

Result<std::optional<ForkedEngine>> serve_forks(const ForkServerOptions& options, Log& log) {
  // At once, so that nannies can queue up while Python starts.
  const auto listening = listen_for_forks(options.name);
  if (!listening) {
    return unexpected(listening.error());
  }
  if (!start_interpreter(options.python, log)) {
    return unexpected(ErrorCode::unavailable, "Python cannot be started");
  }
  IPF_TRY(import_all(options.preload, log));
  constexpr int arenas = 2;      // each engine has two busy threads
  mallopt(M_ARENA_MAX, arenas);  // NOLINT(concurrency-mt-unsafe): the only thread
  malloc_trim(0);
  return ForkServer(*listening).run();
}

}  // namespace ipf::engine
