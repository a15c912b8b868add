#pragma once

#include <memory>

#include "core/log.hpp"
#include "core/result.hpp"
#include "hub/store.hpp"
#include "hub/store_dict.hpp"
#include "store/mongo_backend.hpp"
#include "store/sqlite_backend.hpp"
#include "store/threaded_store.hpp"

namespace ipf {

enum class StoreKind { dict, none, sqlite, mongo };

struct StoreOptions {
  StoreKind kind{StoreKind::dict};
  DictStore::Options dict{};
  SqliteBackend::Options sqlite{};
  MongoBackend::Options mongo{};
  ThreadedStore::Options threaded{};  ///< of the last two
};

/// libmongoc makes a file in /dev/shm when it is loaded, whether or not it is used, and takes it
/// away at a clean end only. Nobody here reads it: it loses its name at once, so that a killed
/// process leaves nothing. To be called early.
void drop_driver_counters();

/// The store that the options name, open and ready for start(). Fails with one sentence when its
/// database cannot be used. The log must outlive the store.
Result<std::unique_ptr<Store>> open_store(const StoreOptions& options, Log& log);

}  // namespace ipf
