#include "store/open_store.hpp"

#include <utility>

namespace ipf {

Result<std::unique_ptr<Store>> open_store(const StoreOptions& options, Log& log) {
  switch (options.kind) {
    case StoreKind::dict:
      return std::unique_ptr<Store>(std::make_unique<DictStore>(options.dict));
    case StoreKind::none:
      return std::unique_ptr<Store>(std::make_unique<NoStore>());
    case StoreKind::sqlite:
      break;
  }
  auto backend = SqliteBackend::open(options.sqlite, log);
  if (!backend) {
    return unexpected(backend.error());
  }
  return std::unique_ptr<Store>(
      std::make_unique<ThreadedStore>(std::move(*backend), options.threaded, log));
}

}  // namespace ipf
