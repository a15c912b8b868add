// The C++ client against a cluster with two or more engines; test_cpp_client.py runs it.
//
//   cpp_probe CONNECTION_FILE [THEIRS]
//
// With a second argument the engines are ipyparallel's, which cannot stop what runs.
// Prints a line for each check that holds; the first that does not ends it with status 1.
#include <array>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <ranges>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "ipyfleet/ipyfleet.hpp"

using namespace std::chrono_literals;

namespace {

constexpr auto patience = 20s;

void require(bool condition, const std::string& what) {
  if (!condition) {
    throw std::runtime_error("not so: " + what);
  }
}

template <class T>
void require_equal(const T& value, const T& wanted) {
  if (!(value == wanted)) {
    throw std::runtime_error(ipf::Value(value).repr() + " instead of " + ipf::Value(wanted).repr());
  }
}

template <class Error>
Error error_of(const std::function<void()>& function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  throw std::runtime_error("no error came");
}

std::vector<int> ids_of(const ipf::Client& client) {
  std::vector<int> out;
  for (const auto& engine : client.engines()) {
    out.push_back(engine.id);
  }
  return out;
}

void check_calls(const ipf::Client& client) {
  const auto engine = client.engine(ids_of(client).front());
  require_equal(engine.apply<double>("math.hypot", 3, 4).get(patience), 5.0);
  require_equal(
      engine.apply<int>("lambda a, *, b: a - b", 5, ipf::Keywords{{"b", 2}}).get(patience), 3);
  require_equal(engine.apply<int>("def twice(x):\n  return 2 * x\n", 4).get(patience), 8);
  require_equal(engine.apply<int>("twice", 5).get(patience), 10);
  require_equal(engine
                    .apply<std::string>("builtins.str.upper",
                                        "gr\xc3\xbc\xc3\x9f"
                                        "e")
                    .get(patience),
                std::string("GR\xc3\x9cSSE"));
  using Nested = std::map<std::string, std::vector<double>>;
  const Nested nested{{"a", {1.0, 2.5}}, {"b", {}}};
  require(engine.apply<Nested>("lambda x: x", nested).get(patience) == nested, "maps travel");
  require(engine.apply("lambda: None").get(patience).is_none(), "None travels");
  engine.apply<void>("lambda: object()").get(patience);
  const auto object = engine.apply("lambda: __import__('decimal').Decimal(1)").get(patience);
  require_equal(object.type_name(), std::string("decimal.Decimal"));
}

void check_arrays(const ipf::Client& client) {
  const auto all = client.direct();
  const std::size_t engines = all.engines().size();
  std::vector<double> numbers(10'001);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = static_cast<double>(i);
  }
  all.push("whole", std::span<const double>(numbers)).get(patience);
  for (const auto& array : all.pull<ipf::Array>("whole + 1").get(patience)) {
    require_equal(array.elements<double>().back(), 10'001.0);
  }
  all.scatter("part", ipf::Array::copy<double>(numbers)).get(patience);
  const auto sizes =
      all.apply<std::size_t>("lambda x: len(x)", ipf::Value::expression("part")).get(patience);
  require_equal(sizes.size(), engines);
  require_equal(sizes.front(), (numbers.size() + engines - 1) / engines);
  const auto gathered = all.gather<std::vector<double>>("part").get(patience);
  require(gathered == numbers, "gather() is the reverse of scatter()");
  all.scatter("words", std::vector<std::string>{"a", "b", "c"}).get(patience);
  require(all.gather<std::vector<std::string>>("words").get(patience) ==
              std::vector<std::string>{"a", "b", "c"},
          "lists are scattered too");
  const auto matrix = ipf::Array::take<std::int32_t>({1, 2, 3, 4, 5, 6}, {2, 3});
  const auto product =
      client.balanced().apply<ipf::Array>("lambda a: a.T @ a", matrix).get(patience);
  require_equal(product.shape().size(), std::size_t{2});
  require_equal(product.elements<std::int32_t>()[0], 17);
  require_equal(client.balanced().apply<double>("numpy.float64", 0.5).get(patience), 0.5);
}

void check_maps(const ipf::Client& client) {
  std::vector<int> wanted;
  for (const int i : std::views::iota(0, 50)) {
    wanted.push_back(i * i);
  }
  const auto items = std::views::iota(0, 50);
  require(client.balanced().map<int>("lambda x: x * x", items, 7).get(patience) == wanted,
          "balanced map");
  require(client.direct().map<int>("lambda x: x * x", items).get(patience) == wanted, "direct map");
  const auto roots =
      client.balanced().map<double>("math.sqrt", std::vector<int>{4, 9}).get(patience);
  require(roots == std::vector<double>{2.0, 3.0}, "map of an imported function");
  const auto error = error_of<ipf::CompositeError>([&] {
    static_cast<void>(client.balanced()
                          .map<double>("lambda x: 1 / x", std::vector<int>{1, 0, 2, 0})
                          .get(patience));
  });
  require_equal(error.errors().size(), std::size_t{2});
  require_equal(error.errors().front().ename(), std::string("ZeroDivisionError"));
}

void check_tasks(const ipf::Client& client) {
  const int target = ids_of(client).back();
  const auto first = client.balanced({.targets = {target}}).apply<int>("os.getpid");
  const auto where = client.engine(target).apply<int>("os.getpid");
  require_equal(first.get(patience), where.get(patience));
  const auto second = client.balanced({.after = first.msg_ids(), .follow = first.msg_ids()})
                          .apply<int>("os.getpid");
  require_equal(second.get(patience), first.get(patience));
  const auto labelled =
      client.balanced({.retries = 1, .timeout = 30s, .label = "probe"}).apply<int>("lambda: 1");
  const auto text = std::string(labelled.requests().front().reply_metadata());
  const auto both = ipf::when_all(std::vector{first, labelled.then([](int x) { return x + 1; })});
  require_equal(both.get(patience).at(1), 2);
  require(std::string(labelled.requests().front().reply_metadata()).find("\"probe\"") !=
              std::string::npos,
          "the label comes back");
}

void check_errors(const ipf::Client& client) {
  const auto engine = client.engine(ids_of(client).front());
  const auto remote = error_of<ipf::RemoteError>(
      [&] { engine.apply<void>("def f():\n  raise KeyError('missing')\n").get(patience); });
  require_equal(remote.ename(), std::string("KeyError"));
  require_equal(remote.evalue(), std::string("'missing'"));
  require(remote.traceback().find("KeyError") != std::string::npos, "there is a traceback");
  require(remote.traceback().find('\x1b') == std::string::npos, "it has no colours");
  require_equal(remote.engine_uuid(), engine.engine().uuid);
  const auto name = error_of<ipf::RemoteError>(
      [&] { static_cast<void>(engine.pull("no_such_name").get(patience)); });
  require_equal(name.ename(), std::string("NameError"));
  const auto slow = engine.apply<int>("lambda: [__import__('time').sleep(0.5), 7][1]");
  error_of<ipf::TimeoutError>([&] { static_cast<void>(slow.get(1ms)); });
  require(!slow.ready() && !slow.wait(1ms), "it still runs");
  require_equal(slow.get(patience), 7);
  error_of<ipf::ConversionError>(
      [&] { static_cast<void>(engine.apply<int>("lambda: 'text'").get(patience)); });
  const auto composite = error_of<ipf::CompositeError>(
      [&] { static_cast<void>(client.direct().apply<int>("lambda: 1 / 0").get(patience)); });
  require_equal(composite.errors().size(), client.engines().size());
  error_of<ipf::ClientError>([&] { static_cast<void>(client.engine(1000)); });
  error_of<ipf::ClientError>(
      [&] { static_cast<void>(client.balanced({.retries = -1}).apply<int>("abs", 1)); });
}

void check_execute(const ipf::Client& client) {
  const auto engine = client.engine(ids_of(client).front());
  const auto done = engine.execute("import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7")
                        .get(patience);
  require_equal(done.text, std::string("42"));
  require_equal(done.stdout_text, std::string("out\n"));
  require_equal(done.stderr_text, std::string("err\n"));
  const auto everywhere = client.direct().execute("x = 5").get(patience);
  require_equal(everywhere.size(), client.engines().size());
  require_equal(client.direct().pull<int>("x").get(patience).front(), 5);
  const auto error =
      error_of<ipf::RemoteError>([&] { static_cast<void>(engine.execute("1 / 0").get(patience)); });
  require_equal(error.ename(), std::string("ZeroDivisionError"));
}

void check_broadcast(const ipf::Client& client) {
  const auto view = client.broadcasting();
  view.push("y", 11).get(patience);
  require(view.pull<int>("y").get(patience) == std::vector<int>(client.engines().size(), 11),
          "broadcast");
  const auto pids = view.apply<int>("os.getpid").get(patience);
  require_equal(std::set<int>(pids.begin(), pids.end()).size(), client.engines().size());
}

void check_stopping(const ipf::Client& client) {
  const auto ids = ids_of(client);
  const auto engine = client.engine(ids.front());
  const auto running = engine.apply<void>("time.sleep", 1);
  const auto waiting = engine.apply<int>("lambda: globals().update(ran=1)");
  waiting.abort();
  error_of<ipf::TimeoutError>([&] { running.get(0ms); });
  require_equal(
      error_of<ipf::RemoteError>([&] { static_cast<void>(waiting.get(patience)); }).ename(),
      std::string("TaskAborted"));
  running.get(patience);
  require(engine.pull<bool>("'ran' not in globals()").get(patience), "it did not run");
  require(!running.cancel() && !running.requests().front().cancelled(), "it has ended");

  std::vector<ipf::Future<void>> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(client.balanced().apply<void>("time.sleep", 0.5));
    all.push_back(engine.apply<void>("time.sleep", 0.5));
  }
  client.abort_outstanding();
  int aborted = 0;
  for (const auto& each : all) {
    try {
      each.get(patience);
    } catch (const ipf::RemoteError& error) {
      require_equal(error.ename(), std::string("TaskAborted"));
      ++aborted;
    }
  }
  require(aborted >= 30, "most had not begun");
}

void check_cancelling(const ipf::Client& client) {
  const auto engine = client.engine(ids_of(client).front());
  engine.push("kept", 5).get(patience);
  const auto expect_cancelled = [](const ipf::Future<void>& future) {
    require(future.ready() && future.requests().front().cancelled(), "it is cancelled");
    const auto error = error_of<ipf::RemoteError>([&] { future.get(patience); });
    require_equal(error.ename(), std::string("TaskCancelled"));
  };
  const auto direct = engine.apply<void>("time.sleep", 60);
  require(direct.cancel(), "what runs is stopped");
  expect_cancelled(direct);
  require_equal(engine.pull<int>("kept").get(patience), 5);
  std::vector<ipf::Future<void>> all;
  for (std::size_t i = 0; i < 2 * client.engines().size() + 3; ++i) {
    all.push_back(client.balanced().apply<void>("time.sleep", 60));
  }
  require(all.back().cancel(), "what waits in the scheduler will not run");
  expect_cancelled(all.back());
  const auto both =
      ipf::when_all(std::vector{engine.apply<int>("lambda: 1"), engine.apply<int>("lambda: 2")});
  require(client.cancel_outstanding(), "everything is stopped");
  for (const auto& each : all) {
    expect_cancelled(each);
  }
  static_cast<void>(both.wait(patience));
  require_equal(engine.pull<int>("kept").get(patience), 5);
  require_equal(client.balanced().apply<int>("abs", -3).get(patience), 3);
}

void check_end(ipf::Client client) {
  const auto view = client.balanced();
  const auto slow = view.apply<int>("lambda: [__import__('time').sleep(1), 7][1]");
  client.close();
  const auto error = error_of<ipf::ClientError>([&] { static_cast<void>(slow.get(patience)); });
  require(error.code() == ipf::ClientErrorCode::closed, "a closed client says so");
  client = ipf::Client::connect({.file = client.file(), .url = "tcp://localhost"});
  error_of<ipf::ClientError>([&] { static_cast<void>(view.apply<int>("abs", 1)); });
  for (const char* url : {"localhost", "tcp://", "tcp://localhost:x", "tcp://localhost:0"}) {
    error_of<ipf::ClientError>(
        [&] { static_cast<void>(ipf::Client::connect({.file = client.file(), .url = url})); });
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  const auto client = ipf::Client::connect({.file = arguments[1], .timeout = patience});
  require(client.wait_for_engines(2, patience), "two engines are there");
  using Check = void (*)(const ipf::Client&);
  for (const auto& [name, check] :
       std::initializer_list<std::pair<const char*, Check>>{{"calls", check_calls},
                                                            {"arrays", check_arrays},
                                                            {"maps", check_maps},
                                                            {"tasks", check_tasks},
                                                            {"errors", check_errors},
                                                            {"execute", check_execute},
                                                            {"broadcast", check_broadcast},
                                                            {"stopping", check_stopping},
                                                            {"cancelling", check_cancelling}}) {
    if (name == std::string("cancelling") && arguments.size() > 2) {
      continue;
    }
    std::cout << name << std::flush;
    check(client);
    std::cout << " ok" << std::endl;
  }
  check_end(ipf::Client::connect({.file = arguments[1]}));
  std::cout << "end ok" << std::endl;
  return EXIT_SUCCESS;
} catch (const std::exception& error) {
  std::cout << ": " << error.what() << std::endl;
  return EXIT_FAILURE;
}
