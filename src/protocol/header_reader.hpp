#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "protocol/message.hpp"

namespace ipf {

/// The header fields that routing needs; views are valid until the next read with the same reader.
struct HeaderView {
  std::string_view msg_id{};
  std::string_view msg_type{};
  std::string_view session{};
  std::string_view date{};
};

/// `after` or `follow` of a task (protocol.md 5.1): a list of msg_ids or a dictionary.
struct DependencySpec {
  std::vector<std::string> msg_ids{};
  bool all{true};
  bool success{true};
  bool failure{false};
  [[nodiscard]] bool empty() const { return msg_ids.empty(); }
  bool operator==(const DependencySpec&) const = default;
};

/// Named amounts, e.g. {"gpu": 1, "mem": 2.5}: what a task needs or an engine has.
using ResourceMap = std::map<std::string, double, std::less<>>;

/// Metadata of a load-balanced request (protocol.md 4.5); the last three are ipyfleet's own.
struct TaskOptions {
  DependencySpec after{};
  DependencySpec follow{};
  std::vector<std::string> targets{};  ///< engine uuids; empty means any
  double timeout_seconds{0.0};         ///< longest time in the queue; 0 means none
  int retries{0};
  int priority{0};                  ///< -1,000,000 to 1,000,000; higher ones go first
  double run_timeout_seconds{0.0};  ///< longest run time; 0 means none
  ResourceMap resources{};          ///< needed at once on one engine; amounts above 0
  bool operator==(const TaskOptions&) const = default;
};

/// Metadata of an engine's reply that routing needs.
struct ReplyMetadata {
  std::string_view status{};  ///< empty when missing
  std::string_view engine{};
  bool dependencies_met{true};
};

/// Reads the few wire fields that the hot path needs, with simdjson's on-demand parser (a tenth of
/// the time of a full DOM parse) and without allocating after warm-up. Never throws. One thread.
class HeaderReader {
 public:
  HeaderReader();
  HeaderReader(HeaderReader&&) noexcept;
  HeaderReader& operator=(HeaderReader&&) noexcept;
  HeaderReader(const HeaderReader&) = delete;
  HeaderReader& operator=(const HeaderReader&) = delete;
  ~HeaderReader();

  /// msg_id and msg_type must be there and be strings, msg_id of 1 to 1024 bytes.
  Result<HeaderView> read_header(const Message& message);
  /// The header of the request that this message answers.
  Result<HeaderView> read_parent(const Message& message);
  Result<TaskOptions> read_task_options(const Message& message);
  Result<ReplyMetadata> read_reply_metadata(const Message& message);

 private:
  struct Parsers;
  std::unique_ptr<Parsers> parsers_;
};

}  // namespace ipf
