// ipcluster: starts, stops and lists clusters on the command line.
#include <iostream>
#include <string>
#include <variant>
#include <vector>

#include "launcher/ipcluster_cli.hpp"
#include "launcher/ipcluster_commands.hpp"

int main(int argc, char** argv) {
  const auto parsed =
      ipf::parse_ipcluster(std::vector<std::string>(argv + 1, argv + argc), IPF_VERSION);
  if (const auto* const text = std::get_if<ipf::CommandLineExit>(&parsed)) {
    std::cout << text->out;
    std::cerr << text->err;
    return text->code;
  }
  const ipf::IpclusterServices services{.out = std::cout, .err = std::cerr, .make_registered = {}};
  return ipf::run_ipcluster(std::get<ipf::CommandLine>(parsed), services);
}
