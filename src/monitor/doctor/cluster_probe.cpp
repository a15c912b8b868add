#include "monitor/doctor/cluster_probe.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ipyfleet/client.hpp"
#include "monitor/doctor/engine_probe.hpp"
#include "monitor/doctor/port_probe.hpp"
#include "monitor/doctor/record_probe.hpp"
#include "monitor/hub_question.hpp"
#include "protocol/connection_file.hpp"

namespace ipf::doctor {

namespace {

std::vector<Port> ports_of(const ConnectionInfo& info, const std::string& side) {
  std::vector<Port> out;
  const auto add = [&](const char* name, int number) {
    if (number > 0) {
      out.push_back({.name = side + " " + name, .number = number});
    }
  };
  add("registration", info.registration);
  add("notification", info.notification);
  add("control", info.control);
  add("mux", info.mux);
  add("task", info.task);
  add("iopub", info.iopub);
  add("hb_ping", info.hb_ping);
  add("hb_pong", info.hb_pong);
  for (const int number : info.broadcast) {
    add("broadcast", number);
  }
  return out;
}

void add_ports(const std::filesystem::path& path,
               PeerRole role,
               const std::optional<ConnectionFileFacts>& file,
               Duration timeout,
               std::vector<PortFacts>& to) {
  if (!file || file->reached.empty() || !file->ssh_server.empty()) {
    return;
  }
  const auto info = read_connection_file(path, role);
  if (!info) {
    return;
  }
  const char* const side = role == PeerRole::client ? "client" : "engine";
  for (PortFacts& port : probe_ports(file->reached, ports_of(*info, side), file->curve, timeout)) {
    to.push_back(std::move(port));
  }
}

bool answers(const std::vector<PortFacts>& ports, const std::string& name) {
  return std::ranges::any_of(ports, [&](const PortFacts& port) {
    return port.name == name && port.state == PortState::answers;
  });
}

std::uint64_t figure(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

void read_status(const Json& status, HubFacts& hub) {
  hub.has_figures = true;
  hub.resident_bytes = figure(status, "resident_bytes");
  hub.pending = figure(status, "pending");
  hub.registering = figure(status, "registering");
  const auto uptime = status.find("uptime");
  hub.uptime_seconds = uptime != status.end() && uptime->is_number() ? uptime->get<double>() : 0;
  if (const auto store = status.find("store"); store != status.end() && store->is_object()) {
    hub.store_failing = store->value("failing", Json()) == Json(true);
    hub.store_lost = figure(*store, "lost");
  }
  const auto queues = status.find("queues");
  if (queues == status.end() || !queues->is_object()) {
    return;
  }
  for (const auto& [name, queue] : queues->items()) {
    if (!queue.is_object()) {
      continue;
    }
    const Json rejected = queue.value("rejected", Json::object());
    hub.bad_signatures += figure(rejected, "bad_signatures");
    hub.replays += figure(rejected, "replays");
    for (const char* side : {"clients", "engines"}) {
      hub.identities_refused += figure(queue.value(side, Json::object()), "identities_refused");
    }
    if (name == "heartbeat") {
      hub.heartbeats = figure(queue.value("engines", Json::object()), "messages_in");
    }
  }
}

/// How far the other clock is ahead of ours, beyond what the round trip leaves open.
double ahead(const Request& request, WallTime replied_at) {
  const std::int64_t sent = request.submitted_microseconds();
  const std::int64_t received = request.received_microseconds();
  const std::int64_t off = replied_at.microseconds < sent       ? replied_at.microseconds - sent
                           : replied_at.microseconds > received ? replied_at.microseconds - received
                                                                : 0;
  return std::chrono::duration<double>(std::chrono::microseconds(off)).count();
}

/// Asks the hub; returns what it says about queues.
Json ask_for_figures(Client& client, Duration timeout, HubFacts& hub) {
  const Request queues = ask_hub(client, "queue_request", R"({"targets": null})");
  const Request status = ask_hub(client, "status_request");
  const auto said = wait_for_answer(queues, timeout);
  if (!said) {
    hub.problem = said.error().message;
    return Json::object();
  }
  hub.round_trip = said->round_trip;
  if (said->replied_at) {
    hub.clock_ahead_seconds = ahead(queues, *said->replied_at);
  }
  hub.unassigned = figure(said->content, "unassigned");
  if (const auto figures = wait_for_answer(status, timeout)) {
    read_status(figures->content, hub);
  }
  return said->content;
}

void ask_cluster(const ProfilePaths& paths, Duration timeout, ClusterFacts& out) {
  HubFacts& hub = out.hub.emplace();
  try {
    const TimePoint begin = steady_now();
    Client client({.file = paths.client_file().string(), .timeout = Timeout{0}});
    hub.connected = client.wait_connected(timeout);
    hub.connect_time = steady_now() - begin;
    if (!hub.connected) {
      hub.problem = "no answer";
      return;
    }
    const Json queues = ask_for_figures(client, timeout, hub);
    if (!hub.round_trip) {
      return;
    }
    probe_engines(client, queues, out.client_file->location, timeout, out);
    if (static_cast<int>(out.engines.size()) < out.record.engines_wanted) {
      out.missing_logs = probe_missing_logs(paths, out.engines);
    }
  } catch (const ClientError& error) {
    hub.problem = error.what();
  }
}

}  // namespace

ClusterFacts probe_cluster(const ProfilePaths& paths, Duration timeout) {
  ClusterFacts out{.record = probe_record(paths, timeout),
                   .client_file = probe_connection_file(paths, true),
                   .engine_file = probe_connection_file(paths, false),
                   .keys_agree = keys_agree(paths)};
  add_ports(paths.client_file(), PeerRole::client, out.client_file, timeout, out.ports);
  add_ports(paths.engine_file(), PeerRole::engine, out.engine_file, timeout, out.ports);
  const bool usable = out.client_file && !out.client_file->reached.empty();
  if (usable &&
      (!out.client_file->ssh_server.empty() || answers(out.ports, "client registration"))) {
    ask_cluster(paths, timeout, out);
  }
  return out;
}

}  // namespace ipf::doctor
