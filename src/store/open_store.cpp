#include "store/open_store.hpp"

#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace ipf {

namespace {

template <class Backend>
Result<std::unique_ptr<Store>> threaded(Result<std::unique_ptr<Backend>> backend,
                                        const StoreOptions& options,
                                        Log& log) {
  if (!backend) {
    return unexpected(backend.error());
  }
  return std::unique_ptr<Store>(
      std::make_unique<ThreadedStore>(std::move(*backend), options.threaded, log));
}

}  // namespace

void drop_driver_counters() {
  shm_unlink(("/mongoc-" + std::to_string(getpid())).c_str());
}

Result<std::unique_ptr<Store>> open_store(const StoreOptions& options, Log& log) {
  switch (options.kind) {
    case StoreKind::dict:
      return std::unique_ptr<Store>(std::make_unique<DictStore>(options.dict));
    case StoreKind::none:
      return std::unique_ptr<Store>(std::make_unique<NoStore>());
    case StoreKind::sqlite:
      return threaded(SqliteBackend::open(options.sqlite, log), options, log);
    case StoreKind::mongo:
      break;
  }
  return threaded(MongoBackend::open(options.mongo, log), options, log);
}

}  // namespace ipf
