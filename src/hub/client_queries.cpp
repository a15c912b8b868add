#include "hub/client_queries.hpp"

#include <iterator>
#include <set>
#include <utility>

#include "core/check.hpp"
#include "core/log.hpp"
#include "hub/record_columns.hpp"
#include "hub/store_query.hpp"
#include "protocol/error_content.hpp"
#include "protocol/frames.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

namespace {

void reply(const Message& to,
           std::string msg_type,
           const Json& content,
           HubActions& actions,
           std::vector<SharedBytes> buffers = {}) {
  actions.emplace_back(SendHubReply{.request = to,
                                    .msg_type = std::move(msg_type),
                                    .content = dump_json(content),
                                    .with_parent = true,
                                    .buffers = std::move(buffers)});
}

/// As Python shows a list of texts: `['a', 'b']`.
std::string python_list(const std::vector<std::string>& items) {
  constexpr std::size_t shown_max = 20;
  std::string out = "[";
  for (std::size_t i = 0; i < items.size() && i < shown_max; ++i) {
    out += (i == 0 ? "" : ", ") + items[i];
  }
  return out + (items.size() > shown_max ? ", ...]" : "]");
}

std::string quoted(const std::string& text) {
  return "'" + printable(text) + "'";
}

RemoteFailure as_failure(const Error& error) {
  if (error.code == ErrorCode::not_found) {
    return key_error(error.message);
  }
  return {.ename = "ValueError", .evalue = error.message};
}

void append(std::vector<SharedBytes>& to, std::vector<SharedBytes> more) {
  to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

/// What result_reply says of one finished task.
Json result_of(const TaskRecord& record) {
  RecordReader reader(record);
  Json io = Json::object();
  for (const Column column : {Column::execute_input, Column::execute_result, Column::error,
                              Column::stdout_text, Column::stderr_text}) {
    io[std::string(column_name(column))] = reader.column(column);
  }
  Json result = {{"io", std::move(io)}};
  for (const Column column : {Column::header, Column::metadata, Column::result_metadata,
                              Column::result_header, Column::result_content, Column::received}) {
    result[std::string(column_name(column))] = reader.column(column);
  }
  return result;
}

}  // namespace

void ClientQueries::fail(const Message& to,
                         std::string msg_type,
                         const RemoteFailure& failure,
                         HubActions& actions) {
  actions.emplace_back(SendHubReply{.request = to,
                                    .msg_type = std::move(msg_type),
                                    .content = error_content(failure),
                                    .with_parent = true});
}

RemoteFailure ClientQueries::no_records() const {
  return {
      .ename = "NoData",
      .evalue = std::string(store_.name()) +
                " backend doesn't store any data. Start the Controller with a DB backend to enable "
                "resubmission / result persistence."};
}

void ClientQueries::answer(const Message& to,
                           const ConnectionRequest& /*request*/,
                           HubActions& actions) {
  Json engines = Json::object();
  for (const auto& [id, uuid] : engines_.active()) {
    engines[std::to_string(id.value)] = uuid;
  }
  reply(to, "connection_reply", {{"status", "ok"}, {"engines", std::move(engines)}}, actions);
}

ClientQueries::Failure ClientQueries::find_targets(
    const std::optional<std::vector<EngineName>>& names, Engines& out) const {
  if (!names) {
    for (const auto& [id, uuid] : engines_.active()) {
      out.push_back({.id = id, .uuid = uuid});
    }
    return std::nullopt;
  }
  if (names->empty()) {
    return RemoteFailure{.ename = "IndexError", .evalue = "No Engines Registered"};
  }
  std::vector<std::string> bad;
  for (const auto& name : *names) {
    const auto* id = std::get_if<EngineId>(&name);
    const auto engine =
        id != nullptr ? engines_.find(*id) : engines_.find(std::get<std::string>(name));
    if (engine) {
      out.push_back(*engine);
    } else {
      bad.push_back(id != nullptr ? std::to_string(id->value)
                                  : quoted(std::get<std::string>(name)));
    }
  }
  if (!bad.empty()) {
    return RemoteFailure{.ename = "IndexError", .evalue = "No Such Engine: " + python_list(bad)};
  }
  return std::nullopt;
}

void ClientQueries::answer(const Message& to, const QueueRequest& request, HubActions& actions) {
  Engines targets;
  if (const auto failure = find_targets(request.targets, targets)) {
    fail(to, "hub_error", *failure, actions);
    return;
  }
  Json content = {{"status", "ok"}};
  for (const auto& engine : targets) {
    auto& entry = content[std::to_string(engine.id.value)];
    if (request.verbose) {
      const auto queues = ledger_.queues(engine.uuid);
      entry = {{"queue", queues.direct}, {"completed", queues.completed}, {"tasks", queues.tasks}};
    } else {
      const auto counts = ledger_.counts(engine.uuid);
      entry = {{"queue", counts.direct}, {"completed", counts.completed}, {"tasks", counts.tasks}};
    }
  }
  content["unassigned"] =
      request.verbose ? Json(ledger_.unassigned()) : Json(ledger_.unassigned_count());
  reply(to, "queue_reply", content, actions);
}

void ClientQueries::answer(const Message& to, const LoadRequest& request, HubActions& actions) {
  Engines targets;
  if (const auto failure = find_targets(request.targets, targets)) {
    fail(to, "hub_error", *failure, actions);
    return;
  }
  Json content = {{"status", "ok"}};
  for (const auto& engine : targets) {
    const auto counts = ledger_.counts(engine.uuid);
    content[std::to_string(engine.id.value)] = counts.direct + counts.tasks;
  }
  reply(to, "load_reply", content, actions);
}

ClientQueries::Failure ClientQueries::add_stored_result(const std::string& msg_id,
                                                        bool finished,
                                                        bool status_only,
                                                        Results& results) const {
  if (!store_.keeps_records()) {
    return finished ? no_records() : key_error("No such message: " + msg_id);
  }
  const auto record = store_.get(msg_id);
  if (!record && finished) {
    return key_error("No such message: " + msg_id + " (finished, but no longer in " +
                     store_.name() + ")");
  }
  if (!record) {
    return key_error("No such message: " + msg_id);
  }
  if (!finished && !record->reply) {
    results.pending.push_back(msg_id);
    return std::nullopt;
  }
  results.completed.push_back(msg_id);
  if (!status_only) {
    results.by_msg_id[msg_id] = result_of(*record);
    append(results.buffers, buffers_of(record->reply));
  }
  return std::nullopt;
}

ClientQueries::Failure ClientQueries::add_result(const std::string& msg_id,
                                                 bool status_only,
                                                 Results& results) const {
  if (ledger_.is_pending(msg_id)) {
    results.pending.push_back(msg_id);
    return std::nullopt;
  }
  const bool finished = ledger_.is_completed(msg_id);
  if (finished && status_only) {
    results.completed.push_back(msg_id);
    return std::nullopt;
  }
  return add_stored_result(msg_id, finished, status_only, results);
}

void ClientQueries::answer(const Message& to, const ResultRequest& request, HubActions& actions) {
  Results results;
  // Sorted and each once: the client cuts the buffers in this order.
  for (const auto& msg_id : std::set<std::string>(request.msg_ids.begin(), request.msg_ids.end())) {
    if (const auto failure = add_result(msg_id, request.status_only, results)) {
      fail(to, "result_reply", *failure, actions);
      return;
    }
  }
  // Last, so that a task whose msg_id is "pending" or "status" cannot take their place.
  Json content = std::move(results.by_msg_id);
  content["status"] = "ok";
  content["pending"] = std::move(results.pending);
  content["completed"] = std::move(results.completed);
  reply(to, "result_reply", content, actions, std::move(results.buffers));
}

void ClientQueries::answer(const Message& to,
                           const HistoryRequest& /*request*/,
                           HubActions& actions) {
  if (!store_.keeps_records()) {
    fail(to, "history_reply", no_records(), actions);
    return;
  }
  reply(to, "history_reply", {{"status", "ok"}, {"history", store_.history()}}, actions);
}

void ClientQueries::answer(const Message& to, const DbRequest& request, HubActions& actions) {
  if (!store_.keeps_records()) {
    fail(to, "db_reply", no_records(), actions);
    return;
  }
  const auto query = StoreQuery::parse(request.query);
  if (!query) {
    fail(to, "db_reply", as_failure(query.error()), actions);
    return;
  }
  std::set<Column> keys;
  for (const auto& key : request.keys.value_or(std::vector<std::string>{})) {
    const auto column = find_column(key);
    if (!column) {
      fail(to, "db_reply", key_error(printable(key)), actions);
      return;
    }
    keys.insert(*column);
  }
  const auto columns =
      keys.empty() ? all_json_columns() : std::vector<Column>(keys.begin(), keys.end());
  Json content = {
      {"status", "ok"},
      {"records", Json::array()},
      {"buffer_lens", keys.contains(Column::buffers) ? Json::array() : Json()},
      {"result_buffer_lens", keys.contains(Column::result_buffers) ? Json::array() : Json()}};
  std::vector<SharedBytes> buffers;
  const auto add_buffers = [&](const char* lens, const std::optional<Message>& message) {
    if (content[lens].is_array()) {
      auto some = buffers_of(message);
      content[lens].push_back(some.size());
      append(buffers, std::move(some));
    }
  };
  for (const auto& record : store_.find(*query)) {
    content["records"].push_back(record_to_json(record, columns));
    add_buffers("buffer_lens", record.request);
    add_buffers("result_buffer_lens", record.reply);
  }
  reply(to, "db_reply", content, actions, std::move(buffers));
}

ClientQueries::Failure ClientQueries::purge(const PurgeRequest& request) {
  // All is checked before anything is dropped: a refused purge changes nothing.
  for (const auto& msg_id : request.msg_ids) {
    if (ledger_.is_pending(msg_id)) {
      return RemoteFailure{.ename = "IndexError", .evalue = "msg pending: " + quoted(msg_id)};
    }
  }
  std::vector<std::string> uuids;
  for (const EngineId id : request.engine_ids) {
    const auto engine = engines_.find(id);
    if (!engine) {
      return RemoteFailure{.ename = "IndexError",
                           .evalue = "No such engine: " + std::to_string(id.value)};
    }
    uuids.push_back(engine->uuid);
  }
  if (request.all) {
    store_.drop(StoreQuery::completed());
  }
  for (const auto& msg_id : request.msg_ids) {
    store_.drop_one(msg_id);
  }
  for (const auto& uuid : uuids) {
    store_.drop(StoreQuery::completed_on(uuid));
  }
  return std::nullopt;
}

void ClientQueries::answer(const Message& to, const PurgeRequest& request, HubActions& actions) {
  if (const auto failure = purge(request)) {
    fail(to, "purge_reply", *failure, actions);
    return;
  }
  reply(to, "purge_reply", {{"status", "ok"}}, actions);
}

Message ClientQueries::copy_for_resubmission(const TaskRecord& record) const {
  const Message& request = *record.request;
  std::string metadata(request.metadata());
  // A direct call goes through the task queue now, and there only to the engine it was meant for.
  if (record.queue != TaskQueue::task && engines_.find(record.engine_uuid)) {
    auto parsed = parse_json_object(metadata, "metadata");
    Json with_target = parsed ? std::move(*parsed) : Json::object();
    with_target["targets"] = Json::array({record.engine_uuid});
    metadata = dump_json(with_target);
  }
  FramesBuilder builder;
  builder.add(delimiter);
  builder.add(std::string_view{});
  builder.add(request.header());
  builder.add(request.parent());
  builder.add(metadata);
  builder.add(request.content());
  builder.add_from(request.frames(), request.first_buffer());
  auto copy = Message::split(builder.finish());
  IPF_CHECK(copy);
  return std::move(*copy);
}

void ClientQueries::answer(const Message& to,
                           const ResubmitRequest& request,
                           TimePoint now,
                           HubActions& actions) {
  if (!store_.keeps_records()) {
    fail(to, "resubmit_reply", no_records(), actions);
    return;
  }
  std::vector<TaskRecord> records;
  std::vector<std::string> missing;
  std::set<std::string> seen;
  for (const auto& msg_id : request.msg_ids) {
    if (!seen.insert(msg_id).second) {
      continue;
    }
    auto record = store_.get(msg_id);
    if (record && record->request) {
      records.push_back(std::move(*record));
    } else {
      missing.push_back(quoted(msg_id));
    }
  }
  if (!missing.empty()) {
    fail(to, "resubmit_reply", key_error("No such msg(s): " + python_list(missing)), actions);
    return;
  }
  if (records.size() > ledger_.room()) {
    fail(to, "resubmit_reply", {.ename = "RuntimeError", .evalue = "too many tasks are pending"},
         actions);
    return;
  }
  Json mapping = Json::object();
  std::vector<ResubmitTask> tasks;
  for (const auto& record : records) {
    const std::string new_id = session_id_ + "_resubmit_" + std::to_string(resubmitted_++);
    mapping[record.msg_id] = new_id;
    // Pending from now on, so that a client that asks at once is not told that there is no such id.
    ledger_.add(new_id, TaskQueue::task, {}, now);
    store_.apply(record.msg_id, RecordResubmission{.new_msg_id = new_id});
    tasks.push_back({.new_msg_id = new_id, .original = copy_for_resubmission(record)});
  }
  reply(to, "resubmit_reply", {{"status", "ok"}, {"resubmitted", std::move(mapping)}}, actions);
  for (auto& task : tasks) {
    actions.emplace_back(std::move(task));
  }
}

}  // namespace ipf
