#pragma once

#include <bson/bson.h>
#include <optional>
#include <string>
#include <string_view>

#include "hub/store_query.hpp"
#include "hub/task_record.hpp"
#include "store/record_row.hpp"

namespace ipf {

/// A BSON document that frees itself.
class BsonDocument {
 public:
  BsonDocument() { bson_init(&document_); }
  ~BsonDocument() { bson_destroy(&document_); }
  BsonDocument(const BsonDocument&) = delete;
  BsonDocument& operator=(const BsonDocument&) = delete;
  [[nodiscard]] bson_t* get() { return &document_; }
  [[nodiscard]] const bson_t* get() const { return &document_; }

 private:
  bson_t document_{};
};

/// Appends a text, or as Binary what is no UTF-8 (MongoDB refuses it as a text).
void append_text(bson_t* to, const char* key, std::string_view text);

/// A record as the document of protocol.md 7.3, appended to `to` as the members of `$set`: dates
/// are BSON dates (milliseconds), dictionaries are documents, buffers are Binary. A dictionary that
/// MongoDB would not take (keys with `$` or `.`) and one over `column_max` is JSON text, or
/// nothing. False when something was left out because a document would be larger than 16 MB.
bool append_record(bson_t* to, RowMaker& rows, const TaskRecord& record);

/// What append_record() wrote, here or in ipyparallel; fields of other types read as missing.
TaskRecord record_of_document(const bson_t* document);

/// A condition that every matching document fulfils, and maybe others: it only narrows the search.
void append_filter(bson_t* to, const StoreQuery& query);

}  // namespace ipf
