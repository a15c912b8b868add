#include "hub/client_queries.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <string_view>
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
  switch (error.code) {
    case ErrorCode::not_found:
      return key_error(error.message);
    case ErrorCode::io:
    case ErrorCode::timed_out:
    case ErrorCode::unavailable:
    case ErrorCode::malformed:
      return {.ename = "RuntimeError", .evalue = error.message};
    default:
      return {.ename = "ValueError", .evalue = error.message};
  }
}

/// The type of the reply that the client waits for, by the place in ClientQueries::Then.
const char* reply_type(std::size_t then) {
  constexpr std::array<const char*, 5> types{"result_reply", "history_reply", "db_reply",
                                             "purge_reply", "resubmit_reply"};
  return types.at(then);
}

void append(std::vector<SharedBytes>& to, std::vector<SharedBytes> more) {
  to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

/// An apply_reply that says ok has a result, so one without buffers had it taken away.
bool was_dropped(const TaskRecord& record) {
  RecordReader reader(record);
  return record.reply && record.reply->buffer_count() == 0 &&
         string_or(reader.column(Column::result_header), "msg_type") == "apply_reply" &&
         string_or(reader.column(Column::result_content), "status") == "ok";
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
                           TimePoint /*now*/,
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

void ClientQueries::answer(const Message& to,
                           const QueueRequest& request,
                           TimePoint /*now*/,
                           HubActions& actions) {
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

void ClientQueries::answer(const Message& to,
                           const LoadRequest& request,
                           TimePoint /*now*/,
                           HubActions& actions) {
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

// ---- what needs the store -----------------------------------------------------------------------

void ClientQueries::ask(
    const Message& to, StoreRequest request, Then then, TimePoint now, HubActions& actions) {
  if (waiting_.size() >= options_.questions_max) {
    fail(to, reply_type(then.index()),
         {.ename = "RuntimeError",
          .evalue = std::string(store_.name()) + " is busy with " +
                    std::to_string(waiting_.size()) + " questions; try again later"},
         actions);
    return;
  }
  const auto token = next_token_++;
  if (auto at_once = store_.ask(token, std::move(request))) {
    conclude(to, then, *at_once, now, actions);
    return;
  }
  waiting_.emplace(
      token, Waiting{.to = to, .then = std::move(then), .deadline = now + options_.answer_timeout});
}

void ClientQueries::conclude(
    const Message& to, const Then& then, StoreAnswer& answer, TimePoint now, HubActions& actions) {
  if (answer.failure) {
    fail(to, reply_type(then.index()), as_failure(*answer.failure), actions);
    return;
  }
  std::visit([&](const auto& kind) { finish(to, kind, answer, now, actions); }, then);
}

void ClientQueries::take_answer(std::uint64_t token,
                                StoreAnswer& answer,
                                TimePoint now,
                                HubActions& actions) {
  const auto found = waiting_.find(token);
  if (found == waiting_.end()) {
    return;
  }
  const Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  conclude(waiting.to, waiting.then, answer, now, actions);
}

void ClientQueries::expire(TimePoint now, HubActions& actions) {
  while (!waiting_.empty() && waiting_.begin()->second.deadline <= now) {
    StoreAnswer late;
    late.failure = Error{ErrorCode::timed_out, std::string(store_.name()) +
                                                   " did not answer in time; see the "
                                                   "controller's log"};
    const Waiting waiting = std::move(waiting_.begin()->second);
    waiting_.erase(waiting_.begin());
    conclude(waiting.to, waiting.then, late, now, actions);
  }
}

TimePoint ClientQueries::next_deadline() const {
  return waiting_.empty() ? TimePoint::never() : waiting_.begin()->second.deadline;
}

RemoteFailure ClientQueries::no_message(const std::string& msg_id, bool finished) const {
  return key_error(
      "No such message: " + msg_id +
      (finished ? std::string(" (finished, but no longer in ") + store_.name() + ")" : ""));
}

Message ClientQueries::reply_to_keep(const std::string& msg_id, Message reply) const {
  if (options_.keep_results || reply.buffer_count() == 0 ||
      msg_id.starts_with(resubmitted_prefix())) {
    return reply;
  }
  FramesBuilder builder;
  for (std::size_t i = reply.identity_count(); i < reply.first_buffer(); ++i) {
    builder.add(reply.frames()[i]);
  }
  auto without = Message::split(builder.finish());
  IPF_CHECK(without);
  return std::move(*without);
}

void ClientQueries::answer(const Message& to,
                           const ResultRequest& request,
                           TimePoint now,
                           HubActions& actions) {
  Results then{.status_only = request.status_only};
  GetRecords wanted;
  // Sorted and each once: the client cuts the buffers in this order.
  for (const auto& msg_id : std::set<std::string>(request.msg_ids.begin(), request.msg_ids.end())) {
    const bool finished = ledger_.is_completed(msg_id);
    if (ledger_.is_pending(msg_id)) {
      then.pending.push_back(msg_id);
    } else if (finished && request.status_only) {
      then.completed.push_back(msg_id);
    } else if (!store_.keeps_records()) {
      fail(to, "result_reply", finished ? no_records() : no_message(msg_id, false), actions);
      return;
    } else {
      (finished ? then.finished : then.unknown).push_back(msg_id);
      wanted.msg_ids.push_back(msg_id);
    }
  }
  if (wanted.msg_ids.empty()) {  // the answer of a poll, which comes ten times a second
    StoreAnswer nothing;
    finish(to, then, nothing, now, actions);
    return;
  }
  ask(to, std::move(wanted), std::move(then), now, actions);
}

void ClientQueries::finish(const Message& to,
                           const Results& then,
                           StoreAnswer& answer,
                           TimePoint /*now*/,
                           HubActions& actions) const {
  std::map<std::string_view, const TaskRecord*> found;
  for (const auto& record : answer.records) {
    found.emplace(record.msg_id, &record);
  }
  Json content = Json::object();
  Json pending = then.pending;
  Json completed = then.completed;
  std::map<std::string_view, std::vector<SharedBytes>> buffers;  // sorted, as the client cuts them
  for (const bool finished : {true, false}) {
    for (const auto& msg_id : finished ? then.finished : then.unknown) {
      const auto record = found.find(msg_id);
      if (record == found.end()) {
        fail(to, "result_reply", no_message(msg_id, finished), actions);
        return;
      }
      if (!finished && !record->second->reply) {
        pending.push_back(msg_id);
        continue;
      }
      completed.push_back(msg_id);
      if (!then.status_only && !options_.keep_results && was_dropped(*record->second)) {
        fail(to, "result_reply",
             key_error("No result of " + msg_id +
                       ": it was delivered, and results are not kept (keep_results=none)"),
             actions);
        return;
      }
      if (!then.status_only) {
        content[msg_id] = result_of(*record->second);
        buffers[msg_id] = buffers_of(record->second->reply);
      }
    }
  }
  std::sort(pending.begin(), pending.end());
  std::sort(completed.begin(), completed.end());
  std::vector<SharedBytes> in_order;
  for (auto& [msg_id, some] : buffers) {
    append(in_order, std::move(some));
  }
  // Last, so that a task whose msg_id is "pending" or "status" cannot take their place.
  content["status"] = "ok";
  content["pending"] = std::move(pending);
  content["completed"] = std::move(completed);
  reply(to, "result_reply", content, actions, std::move(in_order));
}

void ClientQueries::answer(const Message& to,
                           const HistoryRequest& /*request*/,
                           TimePoint now,
                           HubActions& actions) {
  if (!store_.keeps_records()) {
    fail(to, "history_reply", no_records(), actions);
    return;
  }
  ask(to, ListHistory{}, History{}, now, actions);
}

void ClientQueries::finish(const Message& to,
                           const History& /*then*/,
                           StoreAnswer& answer,
                           TimePoint /*now*/,
                           HubActions& actions) {
  reply(to, "history_reply", {{"status", "ok"}, {"history", answer.history}}, actions);
}

void ClientQueries::answer(const Message& to,
                           const DbRequest& request,
                           TimePoint now,
                           HubActions& actions) {
  if (!store_.keeps_records()) {
    fail(to, "db_reply", no_records(), actions);
    return;
  }
  auto query = StoreQuery::parse(request.query);
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
  Records then{
      .columns = keys.empty() ? all_json_columns() : std::vector<Column>(keys.begin(), keys.end()),
      .buffers = keys.contains(Column::buffers),
      .result_buffers = keys.contains(Column::result_buffers)};
  ask(to, FindRecords{.query = std::move(*query), .records_max = options_.records_max},
      std::move(then), now, actions);
}

void ClientQueries::finish(const Message& to,
                           const Records& then,
                           StoreAnswer& answer,
                           TimePoint /*now*/,
                           HubActions& actions) {
  Json content = {{"status", "ok"},
                  {"records", Json::array()},
                  {"buffer_lens", then.buffers ? Json::array() : Json()},
                  {"result_buffer_lens", then.result_buffers ? Json::array() : Json()}};
  std::vector<SharedBytes> buffers;
  const auto add_buffers = [&](const char* lens, const std::optional<Message>& message) {
    if (content[lens].is_array()) {
      auto some = buffers_of(message);
      content[lens].push_back(some.size());
      append(buffers, std::move(some));
    }
  };
  for (const auto& record : answer.records) {
    content["records"].push_back(record_to_json(record, then.columns));
    add_buffers("buffer_lens", record.request);
    add_buffers("result_buffer_lens", record.reply);
  }
  reply(to, "db_reply", content, actions, std::move(buffers));
}

/// All is checked before anything is dropped: a refused purge changes nothing.
ClientQueries::Failure ClientQueries::find_purge(const PurgeRequest& request,
                                                 DropRecords& out) const {
  for (const auto& msg_id : request.msg_ids) {
    if (ledger_.is_pending(msg_id)) {
      return RemoteFailure{.ename = "IndexError", .evalue = "msg pending: " + quoted(msg_id)};
    }
  }
  for (const EngineId id : request.engine_ids) {
    const auto engine = engines_.find(id);
    if (!engine) {
      return RemoteFailure{.ename = "IndexError",
                           .evalue = "No such engine: " + std::to_string(id.value)};
    }
    out.queries.push_back(StoreQuery::completed_on(engine->uuid));
  }
  if (request.all) {
    out.queries.push_back(StoreQuery::completed());
  }
  out.msg_ids = request.msg_ids;
  return std::nullopt;
}

void ClientQueries::answer(const Message& to,
                           const PurgeRequest& request,
                           TimePoint now,
                           HubActions& actions) {
  DropRecords unwanted;
  if (const auto failure = find_purge(request, unwanted)) {
    fail(to, "purge_reply", *failure, actions);
    return;
  }
  ask(to, std::move(unwanted), Purge{}, now, actions);
}

void ClientQueries::finish(const Message& to,
                           const Purge& /*then*/,
                           StoreAnswer& /*answer*/,
                           TimePoint /*now*/,
                           HubActions& actions) {
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
  Resubmission then;
  std::set<std::string> seen;
  for (const auto& msg_id : request.msg_ids) {
    if (seen.insert(msg_id).second) {
      then.msg_ids.push_back(msg_id);
    }
  }
  GetRecords wanted{.msg_ids = then.msg_ids};
  ask(to, std::move(wanted), std::move(then), now, actions);
}

void ClientQueries::finish(const Message& to,
                           const Resubmission& then,
                           StoreAnswer& answer,
                           TimePoint now,
                           HubActions& actions) {
  std::map<std::string_view, const TaskRecord*> found;
  for (const auto& record : answer.records) {
    if (record.request) {
      found.emplace(record.msg_id, &record);
    }
  }
  std::vector<std::string> missing;
  for (const auto& msg_id : then.msg_ids) {
    if (!found.contains(msg_id)) {
      missing.push_back(quoted(msg_id));
    }
  }
  if (!missing.empty()) {
    fail(to, "resubmit_reply", key_error("No such msg(s): " + python_list(missing)), actions);
    return;
  }
  if (then.msg_ids.size() > ledger_.room()) {
    fail(to, "resubmit_reply", {.ename = "RuntimeError", .evalue = "too many tasks are pending"},
         actions);
    return;
  }
  Json mapping = Json::object();
  std::vector<ResubmitTask> tasks;
  for (const auto& msg_id : then.msg_ids) {
    const std::string new_id = resubmitted_prefix() + std::to_string(resubmitted_++);
    mapping[msg_id] = new_id;
    // Pending from now on, so that a client that asks at once is not told that there is no such id.
    ledger_.add(new_id, TaskQueue::task, {}, now);
    store_.apply(msg_id, RecordResubmission{.new_msg_id = new_id});
    tasks.push_back({.new_msg_id = new_id, .original = copy_for_resubmission(*found.at(msg_id))});
  }
  reply(to, "resubmit_reply", {{"status", "ok"}, {"resubmitted", std::move(mapping)}}, actions);
  for (auto& task : tasks) {
    actions.emplace_back(std::move(task));
  }
}

}  // namespace ipf
