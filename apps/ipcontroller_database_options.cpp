#include <algorithm>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "apps/ipcontroller_options.hpp"

namespace ipf {

void declare_database_options(CLI::App& app, ControllerArguments& to) {
  auto& store = to.controller.store;
  app.add_flag("--dictdb", to.dict_db, "Keep task records in memory, within limits (default)");
  app.add_flag("--sqlitedb", to.sqlite_db, "Keep task records in an SQLite file");
  app.add_flag("--mongodb", to.mongo_db, "Keep task records in MongoDB");
  app.add_flag("--nodb", to.no_db, "Keep no task records");
  app.add_option("--db,--IPController.db_class", to.db_class,
                 "The same by name: dictdb, sqlitedb, mongodb or nodb");
  app.add_option("--keep-results,--IPController.keep_results", to.keep_results,
                 "all: records have the results, for get_result of other clients; none: not those "
                 "that went to their client")
      ->capture_default_str()
      ->check(CLI::IsMember({"all", "none"}));
  app.add_option("--IPController.db_query_limit", to.controller.db_query_limit,
                 "Most records in the answer to one db_query")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000'000));
  app.add_option("--DictDB.record_limit", store.dict.record_limit,
                 "Most task records in memory; beyond, the oldest finished ones go")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000'000));
  app.add_option("--DictDB.size_limit", store.dict.size_limit,
                 "Most bytes of task records in memory")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{65'536}, std::uint64_t{1} << 50U));
  app.add_option("--DictDB.cull_fraction", store.dict.cull_fraction,
                 "Part of the limit that is freed when it is reached")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--SQLiteDB.filename", to.sqlite_filename, "File of the SQLite database")
      ->capture_default_str();
  app.add_option("--SQLiteDB.location", to.sqlite_location,
                 "Directory of the SQLite database (default: the profile directory)");
  app.add_option("--SQLiteDB.table", store.sqlite.table, "Table of the SQLite database")
      ->capture_default_str();
  app.add_option("--MongoDB.uri,--MongoDB.connection_args", store.mongo.uri,
                 "Where the MongoDB server is; with a password, give it by the environment")
      ->capture_default_str()
      ->envname("IPYFLEET_MONGODB_URI");
  app.add_option("--MongoDB.database", store.mongo.database, "Database in MongoDB")
      ->capture_default_str();
  app.add_option("--MongoDB.collection", store.mongo.collection, "Collection in MongoDB")
      ->capture_default_str();
}

namespace {

/// `sqlitedb`, and the class names of ipyparallel: `ipyparallel.controller.sqlitedb.SQLiteDB`.
std::optional<StoreKind> store_kind(std::string name) {
  name = name.substr(name.rfind('.') + 1);
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const auto& [known, kind] : {std::pair{"dictdb", StoreKind::dict},
                                    {"sqlitedb", StoreKind::sqlite},
                                    {"mongodb", StoreKind::mongo},
                                    {"nodb", StoreKind::none}}) {
    if (name == known) {
      return kind;
    }
  }
  return std::nullopt;
}

}  // namespace

Result<StoreOptions> resolve_store(const ControllerArguments& from) {
  StoreOptions store = from.controller.store;
  std::vector<std::string> names;
  for (const auto& [given, name] : {std::pair{from.dict_db, "dictdb"},
                                    {from.sqlite_db, "sqlitedb"},
                                    {from.mongo_db, "mongodb"},
                                    {from.no_db, "nodb"}}) {
    if (given) {
      names.emplace_back(name);
    }
  }
  if (!from.db_class.empty()) {
    names.push_back(from.db_class);
  }
  if (names.size() > 1) {
    return unexpected(ErrorCode::invalid_argument,
                      "more than one database is named: " + names[0] + ", " + names[1]);
  }
  if (!names.empty()) {
    const auto kind = store_kind(names[0]);
    if (!kind) {
      return unexpected(
          ErrorCode::invalid_argument,
          "unknown database '" + names[0] + "'; known are dictdb, sqlitedb, mongodb and nodb");
    }
    store.kind = *kind;
  }
  if (from.sqlite_filename.empty() || store.sqlite.table.empty()) {
    return unexpected(ErrorCode::invalid_argument,
                      "SQLiteDB.filename and SQLiteDB.table must not be empty");
  }
  store.sqlite.file = from.sqlite_location.empty()
                          ? std::filesystem::path(from.sqlite_filename)
                          : std::filesystem::absolute(from.sqlite_location) / from.sqlite_filename;
  return store;
}

}  // namespace ipf
