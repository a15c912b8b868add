// ipcluster: starts, stops and lists clusters on the command line.
#include <iostream>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "ipyfleet/client.hpp"
#include "launcher/ipcluster_cli.hpp"
#include "launcher/ipcluster_commands.hpp"

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

}  // namespace

int main(int argc, char** argv) {
  const auto parsed =
      ipf::parse_ipcluster(std::vector<std::string>(argv + 1, argv + argc), IPF_VERSION);
  if (const auto* const text = std::get_if<ipf::CommandLineExit>(&parsed)) {
    std::cout << text->out;
    std::cerr << text->err;
    return text->code;
  }
  const ipf::IpclusterServices services{
      .out = std::cout, .err = std::cerr, .make_registered = ask_hub};
  return ipf::run_ipcluster(std::get<ipf::CommandLine>(parsed), services);
}
