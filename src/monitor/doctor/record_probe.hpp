#pragma once

#include <optional>
#include <vector>

#include "core/clock.hpp"
#include "core/profile.hpp"
#include "monitor/doctor/facts.hpp"

namespace ipf::doctor {

/// Reads the cluster file and looks for the processes it names; asks the batch system or the other
/// hosts about the rest, `limit` at most.
RecordFacts probe_record(const ProfilePaths& paths, Duration limit);

/// A client or an engine connection file. Nothing when there is none.
std::optional<ConnectionFileFacts> probe_connection_file(const ProfilePaths& paths, bool client);

/// False when both files are there and bear different keys.
bool keys_agree(const ProfilePaths& paths);

/// The ends of three logs at most: of engines that the cluster file names and that have not got one
/// of these ids.
std::vector<LogFacts> probe_missing_logs(const ProfilePaths& paths,
                                         const std::vector<EngineFacts>& registered);

}  // namespace ipf::doctor
