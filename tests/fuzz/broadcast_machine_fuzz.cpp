// The input is a script of events for the broadcast machine.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <variant>

#include "core/check.hpp"
#include "fuzz/script.hpp"
#include "scheduler/broadcast_machine.hpp"

namespace {

using ipf::fuzz::engine_name;

class Run {
 public:
  explicit Run(ipf::fuzz::Script script) : script_(script) {}

  void play() {
    while (!script_.ended()) {
      event(script_.below(8));
    }
    for (unsigned engine = 0; engine < 8; ++engine) {
      step(ipf::EngineLeft{.uuid = engine_name(engine)});
    }
    IPF_CHECK(machine_.open_calls() == 0);
    IPF_CHECK(coalescing_.empty());
  }

 private:
  void event(unsigned kind) {
    switch (kind) {
      case 0:
      case 1:
        return step(ipf::EngineJoined{.uuid = engine_name(script_.below(8))});
      case 2:
        return step(ipf::EngineLeft{.uuid = engine_name(script_.below(8))});
      case 3:
        return submit();
      case 4:
        return step(ipf::LegUndeliverable{.original_msg_id = call_name(),
                                          .engine_uuid = engine_name(script_.below(8))});
      default:
        return reply();
    }
  }

  void submit() {
    const unsigned wish = script_.next();
    ipf::BroadcastSubmitted event{.msg_id = call_name(),
                                  .coalescing = (wish & 1U) != 0,
                                  .targets = {},
                                  .request = ipf::fuzz::message_from("client")};
    for (unsigned i = 0; i < (wish >> 4U); ++i) {
      const unsigned engine = script_.below(8);
      event.targets.push_back(
          {engine_name(engine), ipf::EngineId{static_cast<std::int32_t>(engine)}});
    }
    const std::string owed = event.coalescing ? event.msg_id : "";
    step(std::move(event), owed);
  }

  void reply() {
    const unsigned how = script_.next();
    const std::string engine = engine_name(how >> 5U);
    step(ipf::BroadcastReplied{.original_msg_id = call_name(),
                               .engine_uuid = engine,
                               .succeeded = (how & 1U) != 0,
                               .reply = ipf::fuzz::message_from(engine)});
  }

  /// `owed`: the event is a coalescing call, which gets one answer unless it is refused.
  void step(ipf::BroadcastEvent event, const std::string& owed = {}) {
    ipf::BroadcastActions actions;
    machine_.step(std::move(event), actions);
    machine_.check_invariants();
    const bool refused = !actions.empty() && std::holds_alternative<ipf::TaskLog>(actions.front());
    if (!owed.empty() && !refused) {
      IPF_CHECK(coalescing_.insert(owed).second);
    }
    for (const auto& action : actions) {
      if (const auto* answer = std::get_if<ipf::SendCoalesced>(&action)) {
        IPF_CHECK(coalescing_.erase(answer->msg_id) == 1);  // exactly one answer a call
        IPF_CHECK(answer->replies.size() <= answer->targets->size());
        IPF_CHECK(answer->replies.size() == answer->targets->size() || answer->failure);
        IPF_CHECK(!answer->failed_reply || *answer->failed_reply < answer->replies.size());
      }
    }
  }

  std::string call_name() { return "m" + std::to_string(script_.below(8)); }

  ipf::fuzz::Script script_;
  ipf::BroadcastMachine machine_{{.calls_max = 6, .legs_max = 20, .bytes_max = 2000}};
  std::set<std::string> coalescing_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  Run(ipf::fuzz::Script(data, size)).play();
  return 0;
}
