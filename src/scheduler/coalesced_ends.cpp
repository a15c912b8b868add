#include "scheduler/coalesced_ends.hpp"

namespace ipf {

bool CoalescedEnds::leg_ended(const std::string& call, std::size_t legs, const std::string& leg) {
  auto [entry, is_new] = calls_.try_emplace(call);
  if (is_new) {
    entry->second.place = order_.insert(order_.end(), call);
  }
  if (entry->second.ended.insert(leg).second) {
    ++noted_;
  }
  if (entry->second.ended.size() >= legs) {
    forget(entry);
    return true;
  }
  while (calls_.size() > options_.calls_max || noted_ > options_.legs_max) {
    forget(calls_.find(order_.front()));
  }
  return false;
}

void CoalescedEnds::forget(Calls::iterator call) {
  noted_ -= call->second.ended.size();
  order_.erase(call->second.place);
  calls_.erase(call);
}

}  // namespace ipf
