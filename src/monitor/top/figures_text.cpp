#include "monitor/top/figures_text.hpp"

#include <array>
#include <cmath>
#include <iomanip>
#include <limits>
#include <sstream>
#include <utility>

#include "core/log.hpp"

namespace ipf::top {

namespace {

/// One digit behind the point for small numbers, none for large ones.
std::string number_text(double value) {
  constexpr double small = 100;
  std::ostringstream out;
  out << std::fixed << std::setprecision(value != 0 && value < small ? 1 : 0) << value;
  return out.str();
}

double rate_of(const Rates& rates, int engine) {
  const auto found = rates.by_engine.find(engine);
  return found == rates.by_engine.end() ? 0 : found->second;
}

/// Columns right-aligned, the last one left-aligned and as long as it is.
struct Columns {
  std::vector<int> widths;

  [[nodiscard]] std::string line(const std::vector<std::string>& cells) const {
    std::ostringstream out;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (i < widths.size()) {
        out << std::setw(widths[i]) << cells[i];
      } else {
        out << "  " << cells[i];
      }
    }
    return out.str();
  }
};

struct Totals {
  std::uint64_t busy{};
  std::uint64_t pending{};
  std::uint64_t completed{};
};

Totals totals_of(const Snapshot& now) {
  Totals out;
  for (const EngineFigures& engine : now.engines) {
    out.busy += engine.queue + engine.tasks > 0 ? 1 : 0;
    out.pending += engine.queue + engine.tasks;
    out.completed += engine.completed;
  }
  return out;
}

void add_queues(const ControllerFigures& controller, std::vector<std::string>& lines) {
  const Columns columns{.widths = {11, 11, 11, 11, 13, 11}};
  lines.push_back(columns.line({"queue", "waiting", "running", "open", "finished", "failed"}));
  for (const QueueFigures& queue : controller.queues) {
    lines.push_back(columns.line({queue.name, std::to_string(queue.waiting),
                                  std::to_string(queue.running), std::to_string(queue.open),
                                  std::to_string(queue.finished), std::to_string(queue.failed)}));
  }
}

void add_engines(const Snapshot& now,
                 const std::optional<Rates>& rates,
                 std::size_t rows,
                 std::vector<std::string>& lines) {
  const Columns columns{.widths = {11, 11, 11, 11, 13, 11, 11}};
  lines.push_back(columns.line(
      {"engine", "direct", "tasks", "finished", "per second", "cpu %", "memory", "process"}));
  std::size_t shown = 0;
  for (const EngineFigures& engine : now.engines) {
    if (shown == rows) {
      lines.push_back("  and " + std::to_string(now.engines.size() - shown) + " more engines");
      return;
    }
    ++shown;
    const auto& usage = engine.usage;
    lines.push_back(columns.line(
        {std::to_string(engine.id), std::to_string(engine.queue), std::to_string(engine.tasks),
         std::to_string(engine.completed), rates ? number_text(rate_of(*rates, engine.id)) : "-",
         usage ? number_text(usage->cpu_percent) : "-",
         usage ? bytes_text(static_cast<double>(usage->resident_bytes)) : "-",
         usage ? printable(usage->host) + ":" + std::to_string(usage->pid) : ""}));
  }
}

Json engine_json(const EngineFigures& engine, const std::optional<Rates>& rates) {
  Json out = Json::object({{"id", engine.id},
                           {"queue", engine.queue},
                           {"tasks", engine.tasks},
                           {"completed", engine.completed},
                           {"per_second", nullptr},
                           {"host", nullptr},
                           {"pid", nullptr},
                           {"cpu_percent", nullptr},
                           {"resident_bytes", nullptr}});
  if (rates) {
    out["per_second"] = rate_of(*rates, engine.id);
  }
  if (engine.usage) {
    out["host"] = engine.usage->host;
    out["pid"] = engine.usage->pid;
    out["cpu_percent"] = engine.usage->cpu_percent;
    out["resident_bytes"] = engine.usage->resident_bytes;
  }
  return out;
}

Json controller_json(const ControllerFigures& controller) {
  Json queues = Json::object();
  for (const QueueFigures& queue : controller.queues) {
    queues[queue.name] = Json::object({{"waiting", queue.waiting},
                                       {"running", queue.running},
                                       {"open", queue.open},
                                       {"finished", queue.finished},
                                       {"failed", queue.failed},
                                       {"bytes_in", queue.bytes_in},
                                       {"bytes_out", queue.bytes_out}});
  }
  return Json::object({{"uptime", controller.uptime_seconds},
                       {"cpu", controller.cpu_seconds},
                       {"resident_bytes", controller.resident_bytes},
                       {"pending", controller.pending},
                       {"queues", std::move(queues)}});
}

}  // namespace

std::string bytes_text(double bytes) {
  constexpr std::array<const char*, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  constexpr double step = 1024;
  std::size_t unit = 0;
  while (bytes >= step && unit + 1 < units.size()) {
    bytes /= step;
    ++unit;
  }
  return (unit == 0 ? std::to_string(std::llround(bytes)) : number_text(bytes)) + " " +
         units.at(unit);
}

std::string uptime_text(double seconds) {
  constexpr long long minute = 60;
  constexpr long long hour = 60 * minute;
  constexpr long long day = 24 * hour;
  const long long all = std::isfinite(seconds) && seconds >= 0 ? std::llround(seconds) : 0;
  std::ostringstream out;
  if (all >= day) {
    out << all / day << " d ";
  }
  out << all % day / hour << ':' << std::setfill('0') << std::setw(2) << all % hour / minute << ':'
      << std::setw(2) << all % minute;
  return out.str();
}

std::vector<std::string> table(const Snapshot& now,
                               const std::optional<Rates>& rates,
                               const std::string& title,
                               std::size_t rows) {
  const Totals totals = totals_of(now);
  const std::string calls = rates ? number_text(rates->calls) : "-";
  std::vector<std::string> lines;
  lines.push_back(printable(title, std::numeric_limits<std::size_t>::max()) + "   " +
                  to_iso(now.wall).substr(0, 19) + "Z");
  lines.push_back("engines " + std::to_string(now.engines.size()) + ", busy " +
                  std::to_string(totals.busy) + "   calls: pending " +
                  std::to_string(totals.pending) + ", unassigned " +
                  std::to_string(now.unassigned) + ", finished " +
                  std::to_string(totals.completed) + ", " + calls + " per second");
  if (now.controller) {
    const auto rate = [&](double value) { return rates ? bytes_text(value) + "/s" : "-"; };
    lines.push_back("controller up " + uptime_text(now.controller->uptime_seconds) + ", memory " +
                    bytes_text(static_cast<double>(now.controller->resident_bytes)) + ", cpu " +
                    (rates ? number_text(rates->controller_cpu_percent) + " %" : "-") + ", in " +
                    rate(rates ? rates->bytes_in : 0) + ", out " +
                    rate(rates ? rates->bytes_out : 0));
    lines.emplace_back();
    add_queues(*now.controller, lines);
  }
  lines.emplace_back();
  add_engines(now, rates, rows, lines);
  return lines;
}

std::string json_line(const Snapshot& now, const std::optional<Rates>& rates) {
  Json engines = Json::array();
  for (const EngineFigures& engine : now.engines) {
    engines.push_back(engine_json(engine, rates));
  }
  Json out = Json::object({{"at", to_iso(now.wall)},
                           {"engines", std::move(engines)},
                           {"unassigned", now.unassigned},
                           {"controller", nullptr},
                           {"rates", nullptr}});
  if (now.controller) {
    out["controller"] = controller_json(*now.controller);
  }
  if (rates) {
    out["rates"] = Json::object({{"calls", rates->calls},
                                 {"controller_cpu_percent", rates->controller_cpu_percent},
                                 {"bytes_in", rates->bytes_in},
                                 {"bytes_out", rates->bytes_out}});
  }
  return dump_json(out);
}

std::string json_failure(WallTime at, const std::string& text) {
  return dump_json(Json::object({{"at", to_iso(at)}, {"error", text}}));
}

}  // namespace ipf::top
