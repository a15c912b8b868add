#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "core/mailbox.hpp"
#include "hub/hub_events.hpp"
#include "scheduler/task_events.hpp"

/// What the controller's threads tell each other. Each thread owns the mailbox that it reads.
namespace ipf {

struct EngineAnnounced {
  EngineId id{};
  std::string uuid{};
  ResourceMap resources{};
};
struct EngineRetired {
  EngineId id{};
  std::string uuid{};
  bool silent{false};  ///< only its heart stopped; it may be frozen
};

/// A client asked who is there; its subscription to outputs is on its way.
struct ClientConnected {
  std::string session{};
};

/// Where replies to resubmitted tasks go: no client has this identity, and they are dropped. Who
/// resubmits polls the hub for the result (protocol.md, trap 22).
inline constexpr std::string_view resubmitter = "ipyfleet-resubmitted";

/// The task scheduler wants an engine, or its nanny, to get this over the control socket. Nobody
/// waits for the reply.
struct EngineControlled {
  std::string uuid{};
  std::string msg_type{};
  std::string content{};
};

/// From the hub and the task scheduler to the relays.
using RelayCommand =
    std::variant<EngineAnnounced, EngineRetired, ClientConnected, EngineControlled>;
/// From the hub to the task scheduler; what says which task an engine has begun, and that an engine
/// is silent, comes through the relay, which has seen it.
using TaskCommand = std::variant<EngineAnnounced,
                                 EngineRetired,
                                 EngineSuspected,
                                 EngineTrusted,
                                 TaskStarted,
                                 ExplainTasks,
                                 ResubmitTask>;

using HubMailbox = Mailbox<HubEvent>;
using RelayMailbox = Mailbox<RelayCommand>;
using TaskMailbox = Mailbox<TaskCommand>;

/// A full mailbox makes its writer wait; at 1 KiB a message this bounds the memory between threads.
inline constexpr std::size_t mailbox_capacity = 65536;

}  // namespace ipf
