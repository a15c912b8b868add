#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "core/mailbox.hpp"
#include "hub/hub_events.hpp"

/// What the controller's threads tell each other. Each thread owns the mailbox that it reads.
namespace ipf {

struct EngineAnnounced {
  EngineId id{};
  std::string uuid{};
};
struct EngineRetired {
  EngineId id{};
  std::string uuid{};
};

/// A client asked who is there; its subscription to outputs is on its way.
struct ClientConnected {
  std::string session{};
};

/// Where replies to resubmitted tasks go: no client has this identity, and they are dropped. Who
/// resubmits polls the hub for the result (protocol.md, trap 22).
inline constexpr std::string_view resubmitter = "ipyfleet-resubmitted";

/// From the hub to the relays.
using RelayCommand = std::variant<EngineAnnounced, EngineRetired, ClientConnected>;
/// From the hub to the task scheduler.
using TaskCommand = std::variant<EngineAnnounced, EngineRetired, ResubmitTask>;

using HubMailbox = Mailbox<HubEvent>;
using RelayMailbox = Mailbox<RelayCommand>;
using TaskMailbox = Mailbox<TaskCommand>;

/// A full mailbox makes its writer wait; at 1 KiB a message this bounds the memory between threads.
inline constexpr std::size_t mailbox_capacity = 65536;

}  // namespace ipf
