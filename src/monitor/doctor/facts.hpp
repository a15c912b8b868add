#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "core/clock.hpp"

/// What the probes have found, and all that the checks know. Plain values.
namespace ipf::doctor {

struct FileFacts {
  std::string path{};
  bool exists{};
  bool mine{};  ///< belongs to the effective user
  bool directory{};
  unsigned mode{};        ///< permission bits
  std::string problem{};  ///< why it cannot be read; empty: it can
};

struct DiskFacts {
  std::string what{};  ///< "profile", "temporary files", "shared memory"
  std::string path{};
  std::uint64_t free_bytes{};
  std::uint64_t free_files{1};  ///< 0: full although there are bytes; 1 where it is not counted
  bool writable{true};
  std::string problem{};  ///< it could not be asked
};

/// A program and what it says of itself.
struct ProgramFacts {
  std::string name{};
  std::string path{};
  std::string version{};
  std::string problem{};
};

struct PythonFacts {
  std::string path{};
  std::string why{};  ///< it is the one that engines use
  std::string version{};
  std::string ipython{};  ///< its version; empty: cannot be imported
  std::string package{};  ///< of ipyfleet there; empty: not installed
  std::string problem{};
};

/// A command that the chosen launcher runs.
struct CommandFacts {
  std::string name{};
  std::string launcher{};
  std::string path{};  ///< empty: not on PATH
};

struct HostFacts {
  std::string own_version{};
  std::vector<FileFacts> directories{};  ///< of the profile, those that exist
  bool profile_exists{};
  std::uint64_t descriptors_soft{};
  std::uint64_t descriptors_hard{};
  std::vector<DiskFacts> disks{};
  std::vector<ProgramFacts> programs{};
  std::optional<PythonFacts> python{};  ///< nothing: this build has no engines
  std::string host{};
  std::string host_problem{};  ///< why its name does not resolve
  std::vector<CommandFacts> commands{};
};

/// A process that the cluster file names and that is on this machine.
struct ProcessFacts {
  std::string role{};  ///< "controller", "engine process"
  pid_t pid{};
  bool stopped{};                   ///< by a signal (SIGSTOP, a debugger)
  std::uint64_t descriptors{};      ///< open ones
  std::uint64_t descriptors_max{};  ///< 0: not known
};

/// What the cluster file says, compared with what runs.
struct RecordFacts {
  bool exists{};
  std::string path{};
  std::string problem{};  ///< it cannot be read
  bool running{};
  bool elsewhere{};       ///< written on another machine
  std::string machine{};  ///< which
  int engines_wanted{};
  std::string controller_kind{};
  std::string engines_kind{};
  bool controller_recorded{};
  bool controller_alive{};  ///< or not to be told from here
  std::size_t engine_processes{};
  std::size_t engine_processes_alive{};
  std::vector<ProcessFacts> processes{};
  bool jobs_asked{};  ///< parts of it are jobs, or processes over ssh, and their system was asked
  bool jobs_gone{};   ///< and knows of none
  std::vector<std::string> other_ids{};  ///< of clusters in the same profile
};

/// A connection file, without its key.
struct ConnectionFileFacts {
  FileFacts file{};
  std::string problem{};      ///< it is no connection file, or cannot be used
  std::string unreachable{};  ///< why its address cannot be used from here
  std::size_t key_bytes{};
  std::string scheme{};
  bool curve{};
  std::string interface{};
  std::string location{};
  std::string reached{};     ///< `tcp://ip` from here
  std::string ssh_server{};  ///< through which it is reached; then ports are not
};

enum class PortState {
  answers,  ///< a ZeroMQ socket
  refused,  ///< nobody listens
  silent,   ///< connected, but nothing came: a frozen process, or a proxy
  foreign,  ///< something else listens
  no_way,   ///< no answer at all: firewall, wrong address, network
};

struct PortFacts {
  std::string name{};  ///< "client mux"
  std::string url{};
  PortState state{PortState::answers};
  std::string mechanism{};  ///< "NULL", "CURVE"; empty: it did not say
  std::string detail{};     ///< error text of the system
  Duration took{};
};

/// What the hub answered.
struct HubFacts {
  bool connected{};
  std::string problem{};
  Duration connect_time{};
  std::optional<Duration> round_trip{};
  std::optional<double> clock_ahead_seconds{};  ///< the controller's, beyond the round trip
  std::uint64_t unassigned{};

  bool has_figures{};  ///< the rest; ipyparallel's controllers have none
  double uptime_seconds{};
  std::uint64_t resident_bytes{};
  std::uint64_t pending{};
  std::uint64_t registering{};  ///< asked to register and have shown no heart
  std::uint64_t heartbeats{};   ///< answers of engines so far
  std::uint64_t bad_signatures{};
  std::uint64_t replays{};
  std::uint64_t identities_refused{};
  bool store_failing{};
  std::uint64_t store_lost{};
};

/// One way for messages: task scheduler, broadcast.
struct PathFacts {
  std::string name{};
  std::string problem{};
  Duration round_trip{};
};

/// What one engine said.
struct EngineFacts {
  int id{};
  std::string problem{};                 ///< the control channel is silent
  std::optional<Duration> control{};     ///< round trip while user code may run
  std::optional<Duration> round_trip{};  ///< of a call
  std::string call_problem{};
  std::uint64_t pending{};  ///< calls it had before
  bool output_came{};
  Duration output_time{};
  std::string implementation{};  ///< "ipyfleet 0.1.0"
  std::string host{};
  std::int64_t pid{};
  std::string python{};
  std::string ipython{};
  std::string executable{};
  double clock_ahead_seconds{};
  double clock_error_seconds{};  ///< half the round trip: how exact that is
  std::uint64_t descriptors_soft{};
  std::uint64_t descriptors_hard{};
  std::vector<DiskFacts> disks{};
  std::uint64_t memory_available{};
  std::string location_problem{};  ///< the controller's location does not resolve there
};

/// The log of an engine that is not registered.
struct LogFacts {
  std::string path{};
  std::string last_line{};
};

struct ClusterFacts {
  RecordFacts record{};
  std::optional<ConnectionFileFacts> client_file{};  ///< nothing: there is none
  std::optional<ConnectionFileFacts> engine_file{};
  bool keys_agree{true};
  std::vector<PortFacts> ports{};
  std::optional<HubFacts> hub{};  ///< nothing: there was nothing to ask
  std::vector<PathFacts> paths{};
  std::vector<EngineFacts> engines{};
  std::vector<LogFacts> missing_logs{};  ///< when engines are missing: some of theirs
};

struct Facts {
  Duration timeout{};
  HostFacts host{};
  ClusterFacts cluster{};
};

}  // namespace ipf::doctor
