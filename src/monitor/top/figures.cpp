#include "monitor/top/figures.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <system_error>
#include <utility>

namespace ipf::top {

namespace {

std::uint64_t count(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

double number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
}

std::uint64_t traffic(const Json& queue, const char* side, const char* key) {
  const auto found = queue.find(side);
  return found != queue.end() && found->is_object() ? count(*found, key) : 0;
}

ControllerFigures read_controller(const Json& reply) {
  ControllerFigures out{.uptime_seconds = number(reply, "uptime"),
                        .cpu_seconds = number(reply, "cpu"),
                        .resident_bytes = count(reply, "resident_bytes"),
                        .pending = count(reply, "pending")};
  const auto queues = reply.find("queues");
  if (queues == reply.end() || !queues->is_object()) {
    return out;
  }
  for (const char* name : {"task", "mux", "control", "broadcast"}) {
    const auto queue = queues->find(name);
    if (queue == queues->end() || !queue->is_object()) {
      continue;
    }
    out.queues.push_back({.name = name,
                          .waiting = count(*queue, "waiting"),
                          .running = count(*queue, "running"),
                          .open = count(*queue, "open"),
                          .finished = count(*queue, "finished"),
                          .failed = count(*queue, "failed"),
                          .bytes_in = traffic(*queue, "clients", "bytes_in") +
                                      traffic(*queue, "engines", "bytes_in"),
                          .bytes_out = traffic(*queue, "clients", "bytes_out") +
                                       traffic(*queue, "engines", "bytes_out")});
  }
  return out;
}

std::uint64_t growth(std::uint64_t before, std::uint64_t now) {
  return now >= before ? now - before : now;
}

std::uint64_t sum(const ControllerFigures& controller, std::uint64_t QueueFigures::* field) {
  std::uint64_t out = 0;
  for (const QueueFigures& queue : controller.queues) {
    out += queue.*field;
  }
  return out;
}

}  // namespace

Result<Snapshot> read_snapshot(const Json& queue_reply, const Json& status_reply) {
  if (!queue_reply.is_object()) {
    return unexpected(ErrorCode::malformed, "the controller's queue_reply is no object");
  }
  Snapshot out;
  for (const auto& [key, value] : queue_reply.items()) {
    int id = 0;
    const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (failure != std::errc{} || end != key.data() + key.size() || !value.is_object()) {
      continue;
    }
    out.engines.push_back({.id = id,
                           .queue = count(value, "queue"),
                           .tasks = count(value, "tasks"),
                           .completed = count(value, "completed")});
  }
  std::ranges::sort(out.engines, {}, &EngineFigures::id);
  out.unassigned = count(queue_reply, "unassigned");
  if (status_reply.is_object()) {
    out.controller = read_controller(status_reply);
  }
  return out;
}

std::optional<EngineUsage> read_usage(const Json& usage_reply) {
  if (!usage_reply.is_object() || !usage_reply.contains("kernel_memory")) {
    return std::nullopt;
  }
  return EngineUsage{.host = string_or(usage_reply, "hostname"),
                     .pid = static_cast<std::int64_t>(count(usage_reply, "pid")),
                     .cpu_percent = number(usage_reply, "kernel_cpu"),
                     .resident_bytes = count(usage_reply, "kernel_memory")};
}

Rates rates_between(const Snapshot& before, const Snapshot& now) {
  Rates out;
  const double seconds = std::chrono::duration<double>(now.at - before.at).count();
  if (seconds <= 0) {
    return out;
  }
  std::map<int, std::uint64_t> earlier;
  for (const EngineFigures& engine : before.engines) {
    earlier[engine.id] = engine.completed;
  }
  for (const EngineFigures& engine : now.engines) {
    const auto found = earlier.find(engine.id);
    const std::uint64_t from = found == earlier.end() ? 0 : found->second;
    const double rate = static_cast<double>(growth(from, engine.completed)) / seconds;
    out.by_engine[engine.id] = rate;
    out.calls += rate;
  }
  if (before.controller && now.controller) {
    const auto per_second = [&](std::uint64_t QueueFigures::* field) {
      return static_cast<double>(
                 growth(sum(*before.controller, field), sum(*now.controller, field))) /
             seconds;
    };
    out.bytes_in = per_second(&QueueFigures::bytes_in);
    out.bytes_out = per_second(&QueueFigures::bytes_out);
    constexpr double percent = 100;
    out.controller_cpu_percent =
        percent * std::max(now.controller->cpu_seconds - before.controller->cpu_seconds, 0.0) /
        seconds;
  }
  return out;
}

}  // namespace ipf::top
