#include <cstddef>

#include <CLI/CLI.hpp>

#include "apps/ipcontroller_options.hpp"

namespace ipf {

void declare_security_options(CLI::App& app, ControllerArguments& to) {
  auto& options = to.controller;
  app.add_option("--keyfile,--Session.keyfile", to.keyfile,
                 "File with the key that signs all messages (default: a random key)");
  app.add_flag("--secure,!--no-secure", options.secure, "Sign all messages (default)");
  app.add_flag("--i-know-this-is-insecure", options.insecure_known,
               "Allow --no-secure on addresses that others can reach");
  app.add_flag(
         "--enable-curve,--IPController.enable_curve", options.curve,
         "Encrypt all connections with CURVE (also $IPP_ENABLE_CURVE); keys are made, or taken "
         "from $IPP_CURVE_SECRETKEY")
      ->envname("IPP_ENABLE_CURVE");
  app.add_option("--replay-window", to.replay_window,
                 "With a key that was in use before (--reuse, --restore, --keyfile): seconds by "
                 "which a request may be older than the start")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e6));
  app.add_option(
         "--max-message-size", options.net.message_bytes_max,
         "Largest message, e.g. 512MB; who sends a larger one is disconnected (default 4GB)")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(std::size_t{65'536}, std::size_t{1} << 40U));
  app.add_option("--handshake-timeout", to.handshake_timeout,
                 "Seconds after which a connection without a handshake is closed")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 3600.0));
}

}  // namespace ipf
