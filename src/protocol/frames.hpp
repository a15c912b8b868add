#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace ipf {

/// Immutable bytes whose owner is somewhere else, shared between threads.
struct SharedBytes {
  std::shared_ptr<const void> owner{};
  std::string_view bytes{};
};

/// The frames of one multipart message: immutable, cheap to copy, safe to share between threads.
///
/// Frames of up to `packed_frame_max` bytes lie behind one another in a single allocation; larger
/// ones stay where they were received. Copying a few hundred bytes once is cheaper than carrying
/// eight libzmq messages about, and a record that keeps the frames then pins no receive buffer of
/// libzmq (measured there: 9 KiB a task). Behind the packed bytes lie 64 readable zero bytes, as
/// simdjson wants.
class Frames {
 public:
  static constexpr std::size_t packed_frame_max = 4096;

  Frames() = default;

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] std::string_view operator[](std::size_t index) const;

  /// The frame as shared bytes; its owner is this message's storage when the frame is packed.
  [[nodiscard]] SharedBytes shared(std::size_t index) const;
  [[nodiscard]] bool is_packed(std::size_t index) const;

  /// Bytes of all frames.
  [[nodiscard]] std::size_t total_bytes() const { return total_bytes_; }

 private:
  friend class FramesBuilder;
  struct Entry {
    std::uint32_t offset{};  ///< into the packed bytes, or index into large_
    std::uint32_t size{};    ///< large_frame for one that is not packed
  };
  static constexpr std::uint32_t large_frame = 0xffffffffU;

  [[nodiscard]] const Entry& entry(std::size_t index) const;

  std::shared_ptr<const char[]>
      storage_{};  // NOLINT(modernize-avoid-c-arrays): entries, then bytes
  std::vector<SharedBytes> large_{};
  std::uint32_t count_{};
  std::size_t total_bytes_{};
};

/// Collects frames; reusable, one thread. Memory for packed frames is kept between messages.
class FramesBuilder {
 public:
  /// Copies the bytes if they are few, else into storage of their own.
  void add(std::string_view bytes);
  /// Keeps the owner if the bytes are many, else copies them.
  void add(SharedBytes bytes);
  /// Adds frames [from, size) of another message without copying large ones.
  void add_from(const Frames& frames, std::size_t from);
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  /// The message; the builder is empty afterwards.
  Frames finish();
  void clear();

 private:
  std::vector<Frames::Entry> entries_;
  std::vector<char> bytes_;
  std::vector<SharedBytes> large_;
  std::size_t total_bytes_{};
};

}  // namespace ipf
