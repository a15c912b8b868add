#include "protocol/frames.hpp"

#include <cstring>
#include <string>
#include <utility>

#include "core/check.hpp"

namespace ipf {

namespace {
constexpr std::size_t padding = 64;
}

const Frames::Entry& Frames::entry(std::size_t index) const {
  IPF_CHECK(index < count_);
  return reinterpret_cast<const Entry*>(storage_.get())[index];
}

std::string_view Frames::operator[](std::size_t index) const {
  const Entry& found = entry(index);
  if (found.size == large_frame) {
    return large_[found.offset].bytes;
  }
  return {storage_.get() + count_ * sizeof(Entry) + found.offset, found.size};
}

SharedBytes Frames::shared(std::size_t index) const {
  const Entry& found = entry(index);
  if (found.size == large_frame) {
    return large_[found.offset];
  }
  return {storage_, (*this)[index]};
}

bool Frames::is_packed(std::size_t index) const {
  return entry(index).size != large_frame;
}

void FramesBuilder::add(std::string_view bytes) {
  if (bytes.size() > Frames::packed_frame_max) {
    const auto owner = std::make_shared<const std::string>(bytes);
    add(SharedBytes{owner, *owner});
    return;
  }
  entries_.push_back(
      {static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(bytes.size())});
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  total_bytes_ += bytes.size();
}

void FramesBuilder::add(SharedBytes bytes) {
  if (bytes.bytes.size() <= Frames::packed_frame_max) {
    add(bytes.bytes);
    return;
  }
  total_bytes_ += bytes.bytes.size();
  entries_.push_back({static_cast<std::uint32_t>(large_.size()), Frames::large_frame});
  large_.push_back(std::move(bytes));
}

void FramesBuilder::add_from(const Frames& frames, std::size_t from) {
  for (std::size_t i = from; i < frames.size(); ++i) {
    if (frames.is_packed(i)) {
      add(frames[i]);
    } else {
      add(frames.shared(i));
    }
  }
}

Frames FramesBuilder::finish() {
  Frames out;
  const std::size_t table = entries_.size() * sizeof(Frames::Entry);
  auto storage = std::make_shared_for_overwrite<char[]>(table + bytes_.size() + padding);  // NOLINT
  if (!entries_.empty()) {
    std::memcpy(storage.get(), entries_.data(), table);
  }
  if (!bytes_.empty()) {
    std::memcpy(storage.get() + table, bytes_.data(), bytes_.size());
  }
  std::memset(storage.get() + table + bytes_.size(), 0, padding);
  out.storage_ = std::move(storage);
  out.count_ = static_cast<std::uint32_t>(entries_.size());
  out.total_bytes_ = total_bytes_;
  out.large_ = std::move(large_);
  clear();
  return out;
}

void FramesBuilder::clear() {
  entries_.clear();
  bytes_.clear();
  large_.clear();
  total_bytes_ = 0;
}

}  // namespace ipf
