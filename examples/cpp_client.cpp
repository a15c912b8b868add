// The C++ client: calls, maps, arrays, tasks that depend on each other, errors, and calls that are
// stopped.
//
//   cpp_client [PROFILE_DIR_OR_CONNECTION_FILE]
//
// Start a cluster first: ipcluster start -n 2
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <ipyfleet/ipyfleet.hpp>
#include <numeric>
#include <ranges>
#include <span>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

ipf::ConnectOptions options(std::span<char*> arguments) {
  if (arguments.size() < 2) {
    return {};
  }
  const std::string where = arguments[1];
  return std::filesystem::is_directory(where) ? ipf::ConnectOptions{.profile_dir = where}
                                              : ipf::ConnectOptions{.file = where};
}

void calls(const ipf::Client& client) {
  // A function by its name, and one by its source; results as C++ types.
  const auto root = client.balanced().apply<double>("math.sqrt", 2.0);
  std::cout << "sqrt(2) = " << root.get(30s) << '\n';

  const auto words = client.engine(client.engines().front().id)
                         .apply<std::vector<std::string>>("lambda text: text.split()", "one two");
  std::cout << words.get(30s).size() << " words\n";

  const auto everywhere = client.direct();
  everywhere.execute("import os, numpy as np").get(30s);
  const auto pids = everywhere.apply<int>("os.getpid").get(30s);
  std::cout << pids.size() << " engines\n";
}

void maps(const ipf::Client& client) {
  const auto squares =
      client.balanced().map<int>("lambda x: x * x", std::views::iota(0, 100), 10).get(30s);
  std::cout << "sum of squares = " << std::accumulate(squares.begin(), squares.end(), 0) << '\n';
}

void arrays(const ipf::Client& client) {
  std::vector<double> numbers(100'000);
  std::iota(numbers.begin(), numbers.end(), 0.0);
  const auto view = client.direct();
  // The engines get their parts as numpy arrays; nothing is copied on this side.
  view.scatter("part", ipf::Array::take(std::move(numbers))).get(30s);
  view.execute("part = part * 2").get(30s);
  const auto doubled = view.gather<ipf::Array>("part").get(30s);
  const auto elements = doubled.elements<double>();
  std::cout << "doubled: " << elements.size() << " numbers, the last is " << elements.back()
            << '\n';
}

void graph(const ipf::Client& client) {
  const auto first = client.balanced().apply<int>("lambda: 1 + 1");
  const auto second = client.balanced({.after = first.msg_ids(), .retries = 1, .label = "second"})
                          .apply<int>("lambda x: x + 1", 2);
  std::cout << "graph: " << ipf::when_all(std::vector{first, second}).get(30s).at(1) << '\n';
}

void errors(const ipf::Client& client) {
  try {
    client.balanced().apply<double>("lambda x: 1 / x", 0).get(30s);
  } catch (const ipf::RemoteError& error) {
    std::cout << "as expected: " << error.what() << '\n';
  }
}

void stopping(const ipf::Client& client) {
  const auto endless = client.balanced().apply<void>("time.sleep", 3600);
  std::cout << "an hour's sleep " << (endless.cancel() ? "was cut short" : "goes on") << '\n';
}

}  // namespace

int main(int argc, char** argv) try {
  const auto client =
      ipf::Client::connect(options(std::span(argv, static_cast<std::size_t>(argc))));
  if (!client.wait_for_engines(1, 30s)) {
    std::cerr << "no engines within 30 s\n";
    return EXIT_FAILURE;
  }
  calls(client);
  maps(client);
  arrays(client);
  graph(client);
  errors(client);
  stopping(client);
  return EXIT_SUCCESS;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << '\n';
  return EXIT_FAILURE;
}
