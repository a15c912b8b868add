#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hub/task_record.hpp"

namespace ipf {

/// A record in one piece of memory: what no column reads (identities, signatures, the request's
/// parent, the copy of the request's header in the reply) is left out, large frames are shared. A
/// finished task that did nothing takes a bit more than the texts that its columns show.
class CompactRecord {
 public:
  explicit CompactRecord(const TaskRecord& record);

  /// A record whose columns and buffers read the same.
  [[nodiscard]] TaskRecord unpack(const std::string& msg_id) const;
  [[nodiscard]] bool has_request() const;
  /// Bytes that it keeps alive, without those of this object.
  [[nodiscard]] std::size_t bytes() const;

 private:
  std::unique_ptr<char[]> packed_{};  // NOLINT(modernize-avoid-c-arrays)
  std::uint32_t size_{};
  std::unique_ptr<std::vector<SharedBytes>> large_{};  ///< frames that are not packed
};

}  // namespace ipf
