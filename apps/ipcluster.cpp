// ipcluster: starts, stops and lists clusters on the command line.
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "apps/completion.hpp"
#include "apps/configuration.hpp"
#include "ipyfleet/client.hpp"
#include "launcher/ipcluster_cli.hpp"
#include "launcher/ipcluster_commands.hpp"
#include "monitor/doctor/doctor.hpp"
#include "monitor/top/top.hpp"
#ifdef IPF_HAS_ENGINES
#include "engine/python_location.hpp"
#endif

namespace {

/// Asks the hub itself, through a client that connects at the first question.
ipf::RegisteredEngines ask_hub() {
  const auto client = std::make_shared<std::unique_ptr<ipf::Client>>();
  return [client](const ipf::ProfilePaths& paths) -> ipf::Result<int> {
    try {
      if (!*client) {
        *client = std::make_unique<ipf::Client>(
            ipf::ConnectOptions{.file = paths.client_file().string(), .timeout = ipf::Timeout{0}});
      }
      if (!(*client)->wait_connected(ipf::Timeout{0})) {
        return ipf::unexpected(ipf::ErrorCode::unavailable, "the hub has not answered yet");
      }
      return static_cast<int>((*client)->engines().size());
    } catch (const ipf::ClientError& error) {
      client->reset();
      return ipf::unexpected(ipf::ErrorCode::unavailable, error.what());
    }
  };
}

ipf::doctor::PythonFinder python_finder() {
#ifdef IPF_HAS_ENGINES
  return []() -> ipf::Result<std::pair<std::string, std::string>> {
    const auto found = ipf::engine::locate_python(ipf::engine::PythonSearch::here(""));
    if (!found) {
      return ipf::unexpected(found.error());
    }
    return std::pair{found->executable.string(), found->why};
  };
#else
  return {};
#endif
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto status = ipf::print_completion({argv + 1, argv + argc})) {
    return *status;
  }
  auto configured = ipf::configure("ipcluster", {argv + 1, argv + argc},
                                   [](const std::string& /*name*/) { return false; });
  if (const int* const status = std::get_if<int>(&configured)) {
    return *status;
  }
  auto& [arguments, controller_settings, engine_settings] = std::get<ipf::Configured>(configured);
  auto parsed = ipf::parse_ipcluster(std::move(arguments), IPF_VERSION);
  if (const auto* const text = std::get_if<ipf::CommandLineExit>(&parsed)) {
    std::cout << text->out;
    std::cerr << text->err;
    return text->code;
  }
  auto& command_line = std::get<ipf::CommandLine>(parsed);
  if (auto* const start = std::get_if<ipf::StartCommand>(&command_line.command)) {
    // What is given as JSON on the command line beats the files and traits.
    if (start->controller_settings.empty()) {
      start->controller_settings = std::move(controller_settings);
    }
    if (start->engine_settings.empty()) {
      start->engine_settings = std::move(engine_settings);
    }
  } else if (auto* const added = std::get_if<ipf::EnginesCommand>(&command_line.command)) {
    if (added->start.engine_settings.empty()) {
      added->start.engine_settings = std::move(engine_settings);
    }
  } else if (auto* const doctor = std::get_if<ipf::DoctorCommand>(&command_line.command)) {
    doctor->controller_settings = std::move(controller_settings);
    doctor->engine_settings = std::move(engine_settings);
  }
  const ipf::IpclusterServices services{
      .out = std::cout,
      .err = std::cerr,
      .make_registered = ask_hub,
      .top =
          [](const ipf::TopCommand& command, const ipf::ProfilePaths& paths) {
            return ipf::top::run_top(command, paths, std::cout, std::cerr);
          },
      .doctor =
          [](const ipf::DoctorCommand& command, const ipf::ProfilePaths& paths) {
            return ipf::doctor::run_doctor(command, paths, IPF_VERSION, python_finder(), std::cout,
                                           std::cerr);
          }};
  return ipf::run_ipcluster(command_line, services);
}
