#include "monitor/doctor/engine_probe.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text.hpp"
#include "monitor/doctor/python_source.hpp"
#include "monitor/hub_question.hpp"

namespace ipf::doctor {

namespace {

/// Runs the source in a namespace of its own and returns what it left as `facts`.
constexpr const char* run_source = "lambda source, scope: (exec(source, scope), scope['facts'])[1]";

std::uint64_t figure(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

Duration left_until(TimePoint deadline) {
  return std::max<Duration>(deadline - steady_now(), Duration{0});
}

Duration round_trip_of(const Request& request) {
  return std::chrono::microseconds(request.received_microseconds() -
                                   request.submitted_microseconds());
}

/// One engine while it is asked.
struct Asked {
  EngineInfo info{};
  EngineFacts facts{};
  std::optional<Request> control{};
  std::optional<Future<std::string>> call{};
};

std::uint64_t pending_of(const Json& queues, int id) {
  const auto found = queues.find(std::to_string(id));
  return found != queues.end() && found->is_object()
             ? figure(*found, "queue") + figure(*found, "tasks")
             : 0;
}

void ask_control(Client& client, std::vector<Asked>& engines, Duration timeout) {
  for (Asked& engine : engines) {
    engine.control = ask_engine(client, engine.info.uuid, "kernel_info_request");
  }
  const TimePoint deadline = steady_now() + timeout;
  for (Asked& engine : engines) {
    const auto said = wait_for_answer(*engine.control, left_until(deadline));
    if (!said) {
      engine.facts.problem = said.error().message;
      continue;
    }
    engine.facts.control = said->round_trip;
    engine.facts.implementation = string_or(said->content, "implementation") + " " +
                                  string_or(said->content, "implementation_version");
  }
}

bool printed(const Request& request, const std::string& marker) {
  return std::ranges::any_of(request.outputs().items, [&](const Output& output) {
    return output.type == "stream" && output.content.find(marker) != std::string::npos;
  });
}

/// Waits for the output of a call. It may be lost once: while the subscription of this client is on
/// its way to the controller.
bool output_came(const EngineView& view,
                 Request request,
                 const std::string& marker,
                 TimePoint deadline) {
  static_cast<void>(request.wait_for_output(left_until(deadline)));
  if (printed(request, marker)) {
    return true;
  }
  request = view.apply("print", marker).requests().front();
  return request.wait_for_output(left_until(deadline)) && printed(request, marker);
}

void take_call(const Client& client,
               Asked& engine,
               const std::string& marker,
               TimePoint deadline,
               Duration timeout) {
  const Request request = engine.call->requests().front();
  if (!request.wait(left_until(deadline))) {
    engine.facts.call_problem = "no answer";
    return;
  }
  engine.facts.round_trip = round_trip_of(request);
  try {
    const auto said = parse_json_object(engine.call->get(Timeout{0}), "what the engine said");
    if (!said) {
      engine.facts.call_problem = said.error().message;
      return;
    }
    read_engine_facts(*said, engine.facts);
    const auto middle = (request.submitted_microseconds() + request.received_microseconds()) / 2;
    const auto seconds = [](auto time) { return std::chrono::duration<double>(time).count(); };
    const auto time = said->find("time");
    if (time != said->end() && time->is_number()) {
      engine.facts.clock_ahead_seconds =
          time->get<double>() - seconds(std::chrono::microseconds(middle));
      engine.facts.clock_error_seconds = seconds(*engine.facts.round_trip) / 2;
    }
  } catch (const std::runtime_error& error) {
    engine.facts.call_problem = error.what();
    return;
  }
  const TimePoint begin = steady_now();
  engine.facts.output_came =
      output_came(client.engine(engine.info.id), request, marker, begin + timeout);
  engine.facts.output_time = steady_now() - begin;
}

void call_engines(const Client& client,
                  const std::string& location,
                  std::vector<Asked>& engines,
                  Duration timeout) {
  constexpr std::size_t marker_bytes = 8;
  const std::string marker = "ipcluster-doctor-" + random_hex(marker_bytes);
  for (Asked& engine : engines) {
    if (engine.facts.control && engine.facts.pending == 0) {
      engine.call =
          client.engine(engine.info.id)
              .apply<std::string>(Function::expression(run_source), engine_facts_source,
                                  Value::dict({{"marker", marker}, {"location", location}}));
    }
  }
  const TimePoint deadline = steady_now() + timeout;
  for (Asked& engine : engines) {
    if (engine.call) {
      take_call(client, engine, marker, deadline, timeout);
    }
  }
}

PathFacts try_path(std::string name, const std::vector<Request>& requests, Duration timeout) {
  PathFacts out{.name = std::move(name)};
  const TimePoint deadline = steady_now() + timeout;
  for (const Request& request : requests) {
    if (!request.wait(left_until(deadline))) {
      out.problem = "no answer";
      return out;
    }
    if (const auto said = read_answer(request); !said) {
      out.problem = said.error().message;
      return out;
    }
    out.round_trip = std::max(out.round_trip, round_trip_of(request));
  }
  return out;
}

void try_paths(const Client& client,
               const std::vector<Asked>& engines,
               Duration timeout,
               std::vector<PathFacts>& out) {
  std::vector<int> idle;
  for (const Asked& engine : engines) {
    if (engine.call && engine.facts.call_problem.empty()) {
      idle.push_back(engine.info.id);
    }
  }
  if (idle.empty()) {
    return;
  }
  out.push_back(try_path("task scheduler",
                         client.balanced({.targets = idle}).apply<void>("os.getpid").requests(),
                         timeout));
  try {
    out.push_back(try_path("broadcast",
                           client.broadcasting(idle).apply<void>("os.getpid").requests(), timeout));
  } catch (const ClientError& error) {
    if (error.code() != ClientErrorCode::unsupported) {  // a controller may have none
      throw;
    }
  }
}

}  // namespace

void read_engine_facts(const Json& said, EngineFacts& engine) {
  engine.host = string_or(said, "host");
  engine.pid = static_cast<std::int64_t>(figure(said, "pid"));
  engine.python = string_or(said, "python");
  engine.executable = string_or(said, "executable");
  engine.ipython = string_or(said, "ipython");
  engine.descriptors_soft = figure(said, "descriptors_soft");
  engine.descriptors_hard = figure(said, "descriptors_hard");
  engine.memory_available = figure(said, "memory_available");
  engine.location_problem = string_or(said, "location_problem");
  const auto disks = said.find("disks");
  if (disks == said.end() || !disks->is_array()) {
    return;
  }
  for (const Json& disk : *disks) {
    if (disk.is_object()) {
      engine.disks.push_back({.what = string_or(disk, "what"),
                              .path = string_or(disk, "path"),
                              .free_bytes = figure(disk, "free_bytes"),
                              .free_files = figure(disk, "free_files"),
                              .writable = disk.value("writable", Json()) == Json(true),
                              .problem = string_or(disk, "problem")});
    }
  }
}

void probe_engines(Client& client,
                   const Json& queues,
                   const std::string& location,
                   Duration timeout,
                   ClusterFacts& out) {
  std::vector<Asked> engines;
  for (EngineInfo& info : client.engines()) {
    Asked asked{.info = std::move(info)};
    asked.facts.id = asked.info.id;
    asked.facts.pending = pending_of(queues, asked.info.id);
    engines.push_back(std::move(asked));
  }
  ask_control(client, engines, timeout);
  call_engines(client, location, engines, timeout);
  try_paths(client, engines, timeout, out.paths);
  for (Asked& engine : engines) {
    out.engines.push_back(std::move(engine.facts));
  }
}

}  // namespace ipf::doctor
