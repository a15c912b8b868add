// What the task machine costs a task, by scheme, number of engines and number of waiting tasks.
#include <deque>
#include <string>
#include <utility>

#include <benchmark/benchmark.h>

#include "protocol/message.hpp"
#include "scheduler/task_machine.hpp"

namespace {

ipf::Message any_message() {
  ipf::FramesBuilder builder;
  for (const std::string_view frame : {"client", "<IDS|MSG>", "", "{}", "{}", "{}", "{}"}) {
    builder.add(frame);
  }
  return *ipf::Message::split(builder.finish());
}

/// Keeps `waiting` tasks unfinished beyond what the engines hold and finishes one a round.
void place_and_finish(benchmark::State& state, ipf::SchemeName scheme) {
  const auto engines = static_cast<std::size_t>(state.range(0));
  const auto waiting = static_cast<std::size_t>(state.range(1));
  ipf::TaskMachine machine({.scheme = scheme, .hwm = 1, .seed = 7});
  const ipf::Message message = any_message();
  const ipf::TimePoint now{1};
  ipf::TaskActions actions;
  for (std::size_t i = 0; i < engines; ++i) {
    machine.step(now, ipf::EngineJoined{.uuid = "engine-" + std::to_string(i)}, actions);
  }
  std::deque<std::pair<std::string, std::string>> running;
  std::uint64_t submitted = 0;
  const auto step = [&](ipf::TaskEvent event) {
    actions.clear();
    machine.step(now, std::move(event), actions);
    for (auto& action : actions) {
      if (auto* sent = std::get_if<ipf::SendTask>(&action)) {
        running.emplace_back(std::move(sent->msg_id), std::move(sent->engine_uuid));
      }
    }
  };
  const auto submit = [&] {
    step(ipf::TaskSubmitted{
        .msg_id = "4af0db32-50a0c18048dd77e493560c8d_" + std::to_string(submitted++),
        .options = {},
        .request = message});
  };
  for (std::size_t i = 0; i < engines + waiting; ++i) {
    submit();
  }
  for ([[maybe_unused]] const auto round : state) {
    auto [msg_id, engine] = std::move(running.front());
    running.pop_front();
    step(ipf::TaskReplied{.msg_id = std::move(msg_id),
                          .engine_uuid = std::move(engine),
                          .succeeded = true,
                          .dependencies_met = true,
                          .reply = message});
    submit();
  }
}

#define IPF_SCHEME_BENCHMARK(scheme)                                   \
  BENCHMARK_CAPTURE(place_and_finish, scheme, ipf::SchemeName::scheme) \
      ->Args({4, 0})                                                   \
      ->Args({4, 10000})                                               \
      ->Args({1000, 0})                                                \
      ->Args({1000, 10000})

IPF_SCHEME_BENCHMARK(leastload);
IPF_SCHEME_BENCHMARK(lru);
IPF_SCHEME_BENCHMARK(plainrandom);
IPF_SCHEME_BENCHMARK(twobin);
IPF_SCHEME_BENCHMARK(weighted);

}  // namespace
