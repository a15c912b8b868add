// The controller of a cluster: hub, task scheduler and relays in one process.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <poll.h>
#include <utility>
#include <variant>

#include <CLI/CLI.hpp>

#include "apps/configuration.hpp"
#include "apps/ipcontroller_options.hpp"
#include "apps/options.hpp"
#include "controller/controller.hpp"
#include "net/descriptor_limit.hpp"
#include "net/signals.hpp"

namespace {

constexpr const char* examples = R"(Examples:
  ipcontroller                                  listen on this machine only, default profile
  ipcontroller --ip=0.0.0.0 --location=host0    let engines and clients of other hosts connect
  ipcontroller --scheme=lru --hwm=2             another scheduling scheme, two tasks an engine at once
  ipcontroller --cluster-id=big --profile=mpi   a second cluster beside the first

SIGUSR1 writes the figures of its queues to the log. SIGUSR2 makes new keys while it runs (needs
--journal or --sqlitedb): all connections are closed, and who can read the new files comes back.

The files that engines and clients need appear in <profile>/security when everything listens.
Exit status: 0 stopped by a signal or a client, 1 it could not start or failed, 2 wrong command line.)";

using ControllerPtr = std::unique_ptr<ipf::Controller>;

/// On SIGUSR2. An Error is the end: the old controller is gone.
ipf::Result<void> renew_keys(ControllerPtr& controller,
                             const ipf::ControllerOptions& options,
                             ipf::Log& log) {
  if (!options.journal) {
    log.error("no new keys: the tasks would be lost; start it with --journal or --sqlitedb");
    return {};
  }
  if (!options.key.empty() || !options.curve_keys.secret_key.empty()) {
    log.error(
        "no new keys: they were given (--keyfile, $IPP_CURVE_SECRETKEY); change them there, "
        "and start it again with --restore --new-keys");
    return {};
  }
  log.info("making new keys; everybody has to come back with the new connection files");
  auto renewed = ipf::Controller::renew_keys(std::move(controller), options, log);
  if (!renewed) {
    return ipf::unexpected(renewed.error());
  }
  controller = std::move(*renewed);
  return {};
}

int serve(const ipf::ControllerOptions& options, ipf::Log& log) {
  ipf::block_signals({SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2});
  std::signal(SIGPIPE, SIG_IGN);
  // About 40 for itself, and 8 for an engine, 6 for a client.
  if (const auto files = ipf::raise_descriptor_limit(64); !files) {
    return ipf::complain("ipcontroller", files.error());
  }
  const ipf::SignalFd signals({SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2});
  auto controller = ipf::Controller::start(options, log);
  if (!controller) {
    const int status = ipf::complain("ipcontroller", controller.error());
    return controller.error().code == ipf::ErrorCode::invalid_argument ? ipf::usage_error : status;
  }
  std::array<pollfd, 2> waiting{pollfd{signals.fd(), POLLIN, 0},
                                pollfd{(*controller)->finished_fd(), POLLIN, 0}};
  for (bool go_on = true; go_on;) {
    if (poll(waiting.data(), waiting.size(), -1) < 0 && errno == EINTR) {
      continue;
    }
    const int signal = signals.take();
    go_on = signal == SIGUSR1 || signal == SIGUSR2;
    if (signal == SIGUSR1) {
      (*controller)->log_status();
    } else if (signal == SIGUSR2) {
      if (const auto renewed = renew_keys(*controller, options, log); !renewed) {
        return ipf::complain("ipcontroller", renewed.error());
      }
      waiting[1].fd = (*controller)->finished_fd();
    } else if (signal != 0) {
      log.info(std::string("stopping on SIG") + sigabbrev_np(signal));
    }
  }
  return (*controller)->failed() ? EXIT_FAILURE : EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {  // NOLINT(misc-const-correctness): as the standard has it
  CLI::App app("ipcontroller: the meeting point of a cluster's engines and clients",
               "ipcontroller");
  app.footer(examples);
  app.set_version_flag("--version", IPF_VERSION);
  ipf::ControllerArguments arguments;
  ipf::declare_options(app, arguments);
  auto configured = ipf::configure(
      "ipcontroller", {argv + 1, argv + argc},
      [&app](const std::string& name) { return app.get_option_no_throw(name) != nullptr; });
  if (const int* const status = std::get_if<int>(&configured)) {
    return *status;
  }
  if (const auto status = ipf::parse_command_line(
          app, std::move(std::get<ipf::Configured>(configured).arguments))) {
    return *status;
  }
  const auto options = ipf::resolve_options(arguments);
  if (!options) {
    ipf::complain("ipcontroller", options.error());
    return ipf::usage_error;
  }
  const auto log = ipf::open_log("IPController", arguments.log, options->paths, "ipcontroller");
  if (!log) {
    ipf::complain("ipcontroller", log.error());
    return ipf::usage_error;
  }
  return serve(*options, **log);
}
