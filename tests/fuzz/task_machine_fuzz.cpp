// The input is a script of events for the task machine: scheme, hwm, then one event after another.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>

#include "core/check.hpp"
#include "fuzz/script.hpp"
#include "scheduler/task_machine.hpp"

namespace {

using ipf::fuzz::engine_name;

class Run {
 public:
  explicit Run(ipf::fuzz::Script script)
      : script_(script),
        machine_({.scheme = static_cast<ipf::SchemeName>(script_.below(7)),
                  .hwm = script_.below(4),
                  .seed = 1}) {}

  void play() {
    while (!script_.ended()) {
      event(script_.below(12));
    }
    // The faults end: all engines leave, every deadline passes, one fresh engine does the rest.
    for (unsigned engine = 0; engine < 8; ++engine) {
      step(ipf::EngineLeft{.uuid = engine_name(engine)});
    }
    now_ = now_ + std::chrono::hours(1);
    step(ipf::TaskTimePassed{});
    step(ipf::EngineJoined{.uuid = "fresh", .resources = {{"gpu", 4}}});
    while (!open_.empty()) {
      const auto next = std::find_if(open_.begin(), open_.end(),
                                     [](const auto& task) { return task.second == "fresh"; });
      IPF_CHECK(next != open_.end());
      const std::string id = next->first;
      step(ipf::TaskReplied{.msg_id = id,
                            .engine_uuid = "fresh",
                            .succeeded = true,
                            .reply = ipf::fuzz::message_from("fresh")});
      IPF_CHECK(!open_.contains(id));
    }
    now_ = now_ + std::chrono::hours(1);
    step(ipf::TaskTimePassed{});
    IPF_CHECK(machine_.load_of("fresh") == 0 &&
              machine_.next_deadline() == ipf::TimePoint::never());
  }

 private:
  void event(unsigned kind) {
    switch (kind) {
      case 0:
        return step(ipf::EngineJoined{.uuid = engine_name(script_.below(8))});
      case 1:
        return step(ipf::EngineLeft{.uuid = engine_name(script_.below(8))});
      case 2:
        now_ = now_ + std::chrono::milliseconds(script_.next());
        step(ipf::TaskTimePassed{});
        IPF_CHECK(machine_.next_deadline() > now_);
        return;
      case 3:
        return step(ipf::TaskUndeliverable{.msg_id = task_name()});
      case 4:
        return step(ipf::EngineLeft{.uuid = engine_name(script_.below(8)), .silent = true});
      case 5:
        return step(ipf::EngineSuspected{.uuid = engine_name(script_.below(8))});
      case 6:
        return step(ipf::EngineTrusted{.uuid = engine_name(script_.below(8))});
      case 7:
        return step(
            ipf::TaskStarted{.msg_id = task_name(), .engine_uuid = engine_name(script_.below(8))});
      case 8:
        return step(ipf::EngineJoined{.uuid = engine_name(script_.below(8)),
                                      .resources = {{"gpu", script_.below(4)}}});
      case 9:
      case 10:
        return submit();
      default:
        return reply();
    }
  }

  void submit() {
    const unsigned wish = script_.next();
    ipf::TaskOptions options;
    for (unsigned i = 0; i < (wish & 3U); ++i) {
      options.targets.push_back(engine_name(script_.below(8)));
    }
    options.retries = static_cast<int>((wish >> 2U) & 3U);
    options.timeout_seconds = static_cast<double>((wish >> 4U) & 7U) / 100;
    if ((wish >> 7U) != 0) {
      more_options(options);
    }
    const std::string id = task_name();
    open_.try_emplace(id);
    step(ipf::TaskSubmitted{.msg_id = id,
                            .options = std::move(options),
                            .request = ipf::fuzz::message_from("client"),
                            .client = script_.below(3)});
  }

  void more_options(ipf::TaskOptions& options) {
    const unsigned wish = script_.next();
    for (auto* spec : {&options.after, &options.follow}) {
      for (unsigned count = script_.below(3); count > 0; --count) {
        spec->msg_ids.push_back(task_name(script_.below(3) == 0 ? 1 : 0));
      }
      spec->all = script_.below(2) == 0;
      spec->failure = script_.below(2) == 0;
      spec->success = !spec->failure || script_.below(2) == 0;
    }
    options.priority = static_cast<int>(wish & 3U) - 1;
    options.run_timeout_seconds = static_cast<double>((wish >> 2U) & 3U) / 20;
    if (const unsigned gpus = (wish >> 4U) & 3U; gpus > 0) {
      options.resources["gpu"] = gpus;
    }
  }

  void reply() {
    const unsigned how = script_.next();
    const std::string id = task_name();
    const auto task = open_.find(id);
    const std::string engine =
        task != open_.end() && (how & 4U) == 0 ? task->second : engine_name(how >> 5U);
    step(ipf::TaskReplied{.msg_id = id,
                          .engine_uuid = engine,
                          .succeeded = (how & 1U) != 0,
                          .dependencies_met = (how & 2U) == 0,
                          .reply = ipf::fuzz::message_from(engine),
                          .aborted = (how & 9U) == 8});
  }

  void step(ipf::TaskEvent event) {
    ipf::TaskActions actions;
    machine_.step(now_, std::move(event), actions);
    machine_.check_invariants();
    for (const auto& action : actions) {
      if (const auto* send = std::get_if<ipf::SendTask>(&action)) {
        IPF_CHECK(open_.contains(send->msg_id));
        open_[send->msg_id] = send->engine_uuid;
      } else if (const auto* forward = std::get_if<ipf::ForwardReply>(&action)) {
        end(forward->msg_id);
      } else if (const auto* fail = std::get_if<ipf::FailTask>(&action)) {
        end(fail->msg_id);
      }
    }
    for (const auto& [id, engine] : open_) {
      const auto found = machine_.explain(now_, id);
      IPF_CHECK(found.state != "finished" && !found.reason.empty());
    }
    IPF_CHECK(machine_.task_count() == open_.size());
  }

  /// Each task ends once.
  void end(const std::string& id) {
    IPF_CHECK(open_.erase(id) == 1);
    ++names_used_[id.substr(0, id.find('_'))];
  }

  /// One of 16 tasks, or the one that had its place `back` tasks ago: names are used once.
  std::string task_name(unsigned back = 0) {
    const std::string place = "t" + std::to_string(script_.below(16));
    return place + "_" + std::to_string(names_used_[place] - back);
  }

  ipf::fuzz::Script script_;
  ipf::TaskMachine machine_;
  ipf::TimePoint now_{1'000'000'000};
  std::map<std::string, unsigned> names_used_;
  std::map<std::string, std::string> open_;  ///< to the engine that got it last
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  Run(ipf::fuzz::Script(data, size)).play();
  return 0;
}
