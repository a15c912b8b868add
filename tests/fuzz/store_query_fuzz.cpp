// A query of db_request: any JSON is either refused or answers for any record without a crash, and
// what it says is stable. Also the glob patterns in it.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/check.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "hub/compact_record.hpp"
#include "hub/record_change.hpp"
#include "hub/record_columns.hpp"
#include "hub/record_keys.hpp"
#include "hub/store_query.hpp"
#include "protocol/frames.hpp"
#include "protocol/json_text.hpp"
#include "store/sqlite_backend.hpp"

namespace {

struct Silent final : ipf::Log {
  void write(ipf::LogLevel /*level*/, std::string_view /*text*/) override {}
  [[nodiscard]] bool enabled(ipf::LogLevel /*level*/) const override { return false; }
};

/// A database of its own, removed at the end.
struct Database {
  Database()
      : directory(std::filesystem::temp_directory_path() / ("ipf_fuzz_" + ipf::random_hex(8))) {
    std::filesystem::create_directory(directory);
    auto opened = ipf::SqliteBackend::open({.file = directory / "tasks.db"}, log);
    IPF_CHECK(opened);
    backend = std::move(*opened);
  }
  ~Database() {
    backend.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  std::filesystem::path directory;
  Silent log;
  std::unique_ptr<ipf::SqliteBackend> backend;
};

/// A finished task; with `text` as every frame, or with sensible frames.
ipf::TaskRecord record_of(std::string_view text, bool sensible) {
  constexpr std::string_view header =
      R"({"msg_id": "m5", "session": "s", "date": "2026-11-21T01:40:35.193815Z"})";
  ipf::FramesBuilder builder;
  builder.add(ipf::delimiter);
  builder.add("");
  builder.add(sensible ? header : text);
  builder.add("{}");
  builder.add(sensible ? R"({"label": "lab", "started": "2026-11-21T01:40:35Z"})" : text);
  builder.add(sensible ? R"({"status": "ok"})" : text);
  auto message = ipf::Message::split(builder.finish());
  IPF_CHECK(message);
  ipf::TaskRecord record{.msg_id = "m5"};
  const ipf::RecordLimits limits{.stream_bytes_max = 50, .output_bytes_max = 50};
  ipf::apply_change(
      record,
      ipf::RecordRequest{.queue = ipf::TaskQueue::task, .engine_uuid = "e", .request = *message},
      limits);
  ipf::apply_change(record, ipf::RecordReply{.engine_uuid = "e", .received = {}, .reply = *message},
                    limits);
  for (const char* type : {"stream", "error", "execute_input"}) {
    ipf::apply_change(record, ipf::RecordOutput{.msg_type = type, .output = *message}, limits);
  }
  return record;
}

/// What the stores make of a query to narrow their search must never lose a record that matches,
/// and SQLite must understand it.
void check_stores(const ipf::StoreQuery& query, std::array<const ipf::TaskRecord*, 2> records) {
  static ipf::JsonMembers reader;
  const ipf::KeyFilter filter(query);
  for (const auto* record : records) {
    IPF_CHECK(!ipf::matches(*record, query) || filter.may_match(ipf::keys_of(*record, reader)));
    const auto back = ipf::CompactRecord(*record).unpack(record->msg_id);
    IPF_CHECK(ipf::matches(back, query) == ipf::matches(*record, query));
  }
  static Database database;
  for (const auto* record : records) {
    IPF_CHECK(database.backend->write({{.record = record}}));
    const auto found = database.backend->find(query, 10);
    IPF_CHECK(found);
    IPF_CHECK(found->size() == (ipf::matches(*record, query) ? 1U : 0U));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto broken = record_of(text, false);
  ipf::dump_json(ipf::record_to_json(broken, ipf::all_json_columns()));
  const auto json = ipf::parse_json(text);
  if (!json) {
    return 0;
  }
  const auto query = ipf::StoreQuery::parse(*json);
  if (!query) {
    IPF_CHECK(!query.error().message.empty());
    return 0;
  }
  const auto record = record_of(text, true);
  const bool found = ipf::matches(record, *query);
  IPF_CHECK(found == ipf::matches(record, *query));
  if (const auto ids = query->wanted_msg_ids()) {
    IPF_CHECK(!found || std::ranges::find(*ids, "m5") != ids->end());
  }
  IPF_CHECK(ipf::matches(broken, *query) == ipf::matches(broken, *query));
  check_stores(*query, {&record, &broken});
  return 0;
}
