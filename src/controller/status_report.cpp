#include "controller/status_report.hpp"

#include <string>

namespace ipf {

namespace {

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

Json traffic_json(const Traffic& traffic) {
  return Json::object({{"messages_in", traffic.messages_in},
                       {"bytes_in", traffic.bytes_in},
                       {"messages_out", traffic.messages_out},
                       {"bytes_out", traffic.bytes_out},
                       {"connections", traffic.connections},
                       {"closed", traffic.closed},
                       {"identities_refused", traffic.identities_refused}});
}

Json queue_json(const QueueFigures& queue) {
  return Json::object({{"clients", traffic_json(queue.clients)},
                       {"engines", traffic_json(queue.engines)},
                       {"rejected", Json::object({{"bad_signatures", queue.rejected.bad_signatures},
                                                  {"replays", queue.rejected.replays},
                                                  {"malformed", queue.rejected.malformed}})},
                       {"open", queue.open},
                       {"open_bytes", queue.open_bytes},
                       {"waiting", queue.waiting},
                       {"running", queue.running},
                       {"finished", queue.finished},
                       {"failed", queue.failed},
                       {"spilled_bytes", queue.spilled_bytes},
                       {"journal_open", queue.journal_open}});
}

}  // namespace

Json status_json(const StatusReport& report) {
  Json queues = Json::object();
  for (const auto& [name, figures] : report.queues) {
    queues[std::string(name)] = queue_json(figures);
  }
  return Json::object({{"uptime", seconds(report.uptime)},
                       {"cpu", seconds(report.process.cpu)},
                       {"resident_bytes", report.process.resident_bytes},
                       {"engines", report.hub.engines},
                       {"registering", report.hub.registering},
                       {"pending", report.hub.pending},
                       {"unassigned", report.hub.unassigned},
                       {"untracked", report.hub.untracked},
                       {"questions", report.hub.questions},
                       {"store", Json::object({{"name", report.store_name},
                                               {"records", report.store.records},
                                               {"bytes", report.store.bytes},
                                               {"culled", report.store.culled},
                                               {"unwritten", report.store.unwritten},
                                               {"unwritten_bytes", report.store.unwritten_bytes},
                                               {"lost", report.store.lost},
                                               {"failing", report.store.failing}})},
                       {"queues", std::move(queues)}});
}

}  // namespace ipf
