#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/result.hpp"
#include "protocol/message.hpp"
#include "scheduler/finished_tasks.hpp"
#include "scheduler/task_progress.hpp"

/// The bytes of a task journal.
namespace ipf {

/// What the journal knows of one load-balanced task. Messages have no identities.
struct JournaledTask {
  std::string msg_id{};
  std::optional<Message> request{};
  std::string engine_uuid{};               ///< who has it; empty while it waits
  std::uint64_t handed_over{};             ///< the order in which tasks were handed to engines
  std::optional<TaskProgress> progress{};  ///< once it has left an engine without an answer
  std::optional<Message> reply{};
  bool made_here{false};  ///< the reply is the scheduler's own: for those who depend on the task,
                          ///< it ended on no engine
};

/// All that a journal knows. Keys, in outcomes and progress, are those of a machine with `seed`.
struct JournalContents {
  std::optional<std::uint64_t> seed{};
  std::vector<RememberedOutcome> outcomes{};  ///< oldest first; those of `tasks` are not all here
  std::vector<JournaledTask> tasks{};         ///< in order of submission
};

// Appends one record each. Messages are written from their delimiter on.
void append_magic(std::string& out);
void append_seed(std::string& out, std::uint64_t seed);
void append_outcomes(std::string& out, std::span<const RememberedOutcome> outcomes);
void append_submission(std::string& out, std::string_view msg_id, const Message& request);
void append_assignment(std::string& out, std::string_view msg_id, std::string_view engine_uuid);
void append_return(std::string& out, std::string_view msg_id, const TaskProgress& progress);
void append_answer(std::string& out,
                   std::string_view msg_id,
                   std::string_view engine_uuid,
                   const Message& reply,
                   bool made_here);

/// Puts the records of one or more files together, the oldest file first.
class JournalCollector {
 public:
  /// malformed: no task journal of a known version. A record that is cut off ends the file.
  Result<void> take_file(std::string_view bytes);
  JournalContents finish() &&;

 private:
  void take_record(std::string_view record);
  JournaledTask& task(std::string_view msg_id);

  JournalContents contents_;
  std::unordered_map<std::string, std::size_t> places_;
  std::uint64_t handed_over_{};
};

}  // namespace ipf
