#include "store/mongo_backend.hpp"

#include <algorithm>
#include <array>
#include <mongoc/mongoc.h>
#include <utility>

#include "store/found_records.hpp"
#include "store/mongo_document.hpp"

namespace ipf {

namespace {

template <auto Destroy>
struct Destroyer {
  template <class T>
  void operator()(T* object) const {
    Destroy(object);
  }
};
using Uri = std::unique_ptr<mongoc_uri_t, Destroyer<mongoc_uri_destroy>>;
using Client = std::unique_ptr<mongoc_client_t, Destroyer<mongoc_client_destroy>>;
using Collection = std::unique_ptr<mongoc_collection_t, Destroyer<mongoc_collection_destroy>>;
using Cursor = std::unique_ptr<mongoc_cursor_t, Destroyer<mongoc_cursor_destroy>>;
using Bulk = std::unique_ptr<mongoc_bulk_operation_t, Destroyer<mongoc_bulk_operation_destroy>>;

/// The driver's global state, made once; its own log would go to stderr.
void start_driver() {
  struct Once {
    Once() {
      mongoc_init();
      mongoc_log_set_handler(nullptr, nullptr);
    }
    ~Once() { mongoc_cleanup(); }
  };
  static const Once once;
}

std::int32_t milliseconds(Duration duration) {
  return static_cast<std::int32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

}  // namespace

struct MongoBackend::Driver {
  Client client;
  Collection collection;
  std::string where;  ///< hosts without user and password

  [[nodiscard]] Unexpected failure(const bson_error_t& error) const {
    return unexpected(ErrorCode::unavailable, "MongoDB at " + where + " fails: " + error.message);
  }
  /// Calls `take(document)` for each document found, until it says no.
  template <class Take>
  Result<void> scan(const bson_t* filter, const bson_t* options, Take take) const {
    const Cursor cursor(
        mongoc_collection_find_with_opts(collection.get(), filter, options, nullptr));
    const bson_t* document = nullptr;
    while (mongoc_cursor_next(cursor.get(), &document)) {
      if (!take(document)) {
        return {};
      }
    }
    bson_error_t error;
    return mongoc_cursor_error(cursor.get(), &error) ? Result<void>(failure(error))
                                                     : Result<void>{};
  }
};

MongoBackend::MongoBackend(Options options, Log& log)
    : options_(std::move(options)),
      log_(log),
      driver_(std::make_unique<Driver>()),
      next_place_(wall_now().microseconds) {}

MongoBackend::~MongoBackend() = default;

Result<std::unique_ptr<MongoBackend>> MongoBackend::open(const Options& options, Log& log) {
  start_driver();
  std::unique_ptr<MongoBackend> backend(new MongoBackend(options, log));
  IPF_TRY(backend->connect());
  IPF_TRY(backend->make_indexes());
  return backend;
}

Result<void> MongoBackend::connect() {
  bson_error_t error;
  const Uri uri(mongoc_uri_new_with_error(options_.uri.c_str(), &error));
  if (!uri) {
    return unexpected(ErrorCode::invalid_argument,
                      std::string("MongoDB.uri is not valid: ") + error.message);
  }
  for (const auto* host = mongoc_uri_get_hosts(uri.get()); host != nullptr; host = host->next) {
    driver_->where += (driver_->where.empty() ? "" : ",") + std::string(host->host_and_port);
  }
  const std::array<std::pair<const char*, std::int32_t>, 3> limits{
      {{MONGOC_URI_CONNECTTIMEOUTMS, milliseconds(options_.connect_timeout)},
       {MONGOC_URI_SERVERSELECTIONTIMEOUTMS, milliseconds(options_.connect_timeout)},
       {MONGOC_URI_SOCKETTIMEOUTMS, milliseconds(options_.socket_timeout)}}};
  for (const auto& [name, value] : limits) {
    if (!mongoc_uri_has_option(uri.get(), name)) {
      mongoc_uri_set_option_as_int32(uri.get(), name, value);
    }
  }
  driver_->client.reset(mongoc_client_new_from_uri_with_error(uri.get(), &error));
  if (!driver_->client) {
    return driver_->failure(error);
  }
  mongoc_client_set_appname(driver_->client.get(), "ipyfleet");
  BsonDocument ping;
  BSON_APPEND_INT32(ping.get(), "ping", 1);
  if (!mongoc_client_command_simple(driver_->client.get(), options_.database.c_str(), ping.get(),
                                    nullptr, nullptr, &error)) {
    return driver_->failure(error);
  }
  driver_->collection.reset(mongoc_client_get_collection(
      driver_->client.get(), options_.database.c_str(), options_.collection.c_str()));
  return {};
}

Result<void> MongoBackend::make_indexes() {
  // One command each: FerretDB 1.24 breaks off when a list names indexes that exist.
  for (const auto* column : {"msg_id", "submitted", "completed", "client_uuid", "engine_uuid",
                             "queue", "label", "resubmitted"}) {
    BsonDocument command;
    BSON_APPEND_UTF8(command.get(), "createIndexes", options_.collection.c_str());
    bson_t list;
    BSON_APPEND_ARRAY_BEGIN(command.get(), "indexes", &list);
    BsonDocument key;
    BSON_APPEND_INT32(key.get(), column, 1);
    BsonDocument index;
    BSON_APPEND_DOCUMENT(index.get(), "key", key.get());
    BSON_APPEND_UTF8(index.get(), "name", (std::string(column) + "_1").c_str());
    if (std::string_view(column) == "msg_id") {
      BSON_APPEND_BOOL(index.get(), "unique", true);
    }
    BSON_APPEND_DOCUMENT(&list, "0", index.get());
    bson_append_array_end(command.get(), &list);
    bson_error_t error;
    if (!mongoc_client_write_command_with_opts(driver_->client.get(), options_.database.c_str(),
                                               command.get(), nullptr, nullptr, &error)) {
      return driver_->failure(error);
    }
  }
  return {};
}

Result<void> MongoBackend::write(const std::vector<RecordWrite>& records) {
  BsonDocument unordered;
  BSON_APPEND_BOOL(unordered.get(), "ordered", false);
  const Bulk bulk(mongoc_collection_create_bulk_operation_with_opts(driver_->collection.get(),
                                                                    unordered.get()));
  BsonDocument upsert;
  BSON_APPEND_BOOL(upsert.get(), "upsert", true);
  bson_error_t error;
  for (const auto& write : records) {
    BsonDocument selector;
    append_text(selector.get(), "_id", write.record->msg_id);
    BsonDocument update;
    bson_t set;
    BSON_APPEND_DOCUMENT_BEGIN(update.get(), "$set", &set);
    const bool whole = append_record(&set, rows_, *write.record);
    const auto place = next_place_++;
    if (write.to_end) {
      BSON_APPEND_INT64(&set, "ipyfleet.place", place);
    }
    bson_append_document_end(update.get(), &set);
    if (!write.to_end) {
      BsonDocument first;
      BSON_APPEND_INT64(first.get(), "ipyfleet.place", place);
      BSON_APPEND_DOCUMENT(update.get(), "$setOnInsert", first.get());
    }
    if (!whole && !std::exchange(told_of_left_out_, true)) {
      log_.warning("MongoDB::record " + printable(write.record->msg_id) +
                   " is too large for a document; it is kept without its largest parts, as are "
                   "others like it");
    }
    if (!mongoc_bulk_operation_update_one_with_opts(bulk.get(), selector.get(), update.get(),
                                                    upsert.get(), &error)) {
      return driver_->failure(error);
    }
  }
  if (mongoc_bulk_operation_execute(bulk.get(), nullptr, &error) == 0) {
    return driver_->failure(error);
  }
  return {};
}

Result<std::optional<TaskRecord>> MongoBackend::load(const std::string& msg_id) {
  BsonDocument filter;
  append_text(filter.get(), "_id", msg_id);
  std::optional<TaskRecord> found;
  IPF_TRY(driver_->scan(filter.get(), nullptr, [&](const bson_t* document) {
    found = record_of_document(document);
    return false;
  }));
  return found;
}

namespace {

std::int64_t place_of(const bson_t* document) {
  bson_iter_t iter;
  bson_iter_t place;
  return bson_iter_init(&iter, document) &&
                 bson_iter_find_descendant(&iter, "ipyfleet.place", &place)
             ? bson_iter_as_int64(&place)
             : 0;
}

}  // namespace

Result<std::vector<TaskRecord>> MongoBackend::find(const StoreQuery& query, std::size_t most) {
  FoundRecords found(most);
  BsonDocument filter;
  append_filter(filter.get(), query);
  IPF_TRY(driver_->scan(filter.get(), nullptr, [&](const bson_t* document) {
    auto record = record_of_document(document);
    return !matches(record, query) || found.add(place_of(document), std::move(record));
  }));
  return std::move(found).in_order();
}

Result<std::vector<std::string>> MongoBackend::history() {
  BsonDocument filter;
  bson_t either;
  BSON_APPEND_ARRAY_BEGIN(filter.get(), "$or", &either);
  int number = 0;
  for (const auto* column : {"queue", "metadata"}) {
    BsonDocument not_null;
    BSON_APPEND_NULL(not_null.get(), "$ne");
    BsonDocument condition;
    BSON_APPEND_DOCUMENT(condition.get(), column, not_null.get());
    bson_append_document(&either, std::to_string(number++).c_str(), -1, condition.get());
  }
  bson_append_array_end(filter.get(), &either);
  BsonDocument options;
  bson_t projection;
  BSON_APPEND_DOCUMENT_BEGIN(options.get(), "projection", &projection);
  BSON_APPEND_INT32(&projection, "msg_id", 1);
  BSON_APPEND_INT32(&projection, "ipyfleet", 1);
  bson_append_document_end(options.get(), &projection);
  std::vector<std::pair<std::int64_t, std::string>> found;
  IPF_TRY(driver_->scan(filter.get(), options.get(), [&](const bson_t* document) {
    found.emplace_back(place_of(document), record_of_document(document).msg_id);
    return true;
  }));
  std::ranges::sort(found);
  std::vector<std::string> ids;
  ids.reserve(found.size());
  for (auto& [place, msg_id] : found) {
    ids.push_back(std::move(msg_id));
  }
  return ids;
}

Result<std::vector<std::string>> MongoBackend::unfinished(std::size_t most) {
  BsonDocument filter;
  BSON_APPEND_NULL(filter.get(), "completed");
  BsonDocument options;
  BSON_APPEND_INT64(options.get(), "limit", static_cast<std::int64_t>(most));
  bson_t projection;
  BSON_APPEND_DOCUMENT_BEGIN(options.get(), "projection", &projection);
  BSON_APPEND_INT32(&projection, "msg_id", 1);
  bson_append_document_end(options.get(), &projection);
  std::vector<std::string> ids;
  IPF_TRY(driver_->scan(filter.get(), options.get(), [&](const bson_t* document) {
    ids.push_back(record_of_document(document).msg_id);
    return true;
  }));
  return ids;
}

Result<std::size_t> MongoBackend::remove(const std::vector<std::string>& ids) {
  constexpr std::size_t chunk = 1000;
  std::size_t removed = 0;
  for (std::size_t begin = 0; begin < ids.size(); begin += chunk) {
    BsonDocument in;
    bson_t list;
    BSON_APPEND_ARRAY_BEGIN(in.get(), "$in", &list);
    for (std::size_t i = begin; i < std::min(begin + chunk, ids.size()); ++i) {
      append_text(&list, std::to_string(i - begin).c_str(), ids[i]);
    }
    bson_append_array_end(in.get(), &list);
    BsonDocument selector;
    BSON_APPEND_DOCUMENT(selector.get(), "_id", in.get());
    bson_error_t error;
    bson_t answer;
    const bool done = mongoc_collection_delete_many(driver_->collection.get(), selector.get(),
                                                    nullptr, &answer, &error);
    bson_iter_t iter;
    if (bson_iter_init_find(&iter, &answer, "deletedCount")) {
      removed += static_cast<std::size_t>(bson_iter_as_int64(&iter));
    }
    bson_destroy(&answer);
    if (!done) {
      return driver_->failure(error);
    }
  }
  return removed;
}

Result<std::size_t> MongoBackend::drop(const DropRecords& unwanted) {
  std::vector<std::string> ids = unwanted.msg_ids;
  for (const auto& query : unwanted.queries) {
    BsonDocument filter;
    append_filter(filter.get(), query);
    IPF_TRY(driver_->scan(filter.get(), nullptr, [&](const bson_t* document) {
      const auto record = record_of_document(document);
      if (matches(record, query)) {
        ids.push_back(record.msg_id);
      }
      return true;
    }));
  }
  return remove(ids);
}

}  // namespace ipf
