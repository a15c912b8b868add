#pragma once

#include <algorithm>
#include <bit>
#include <complex>
#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "ipyfleet/types.hpp"

namespace ipf {

/// What an element of an Array may be: numbers, bool, std::complex of float and double.
template <class T>
concept ArrayElement =
    (std::is_arithmetic_v<T> && !std::same_as<T, long double> && sizeof(T) <= 8) ||
    std::same_as<T, std::complex<float>> || std::same_as<T, std::complex<double>>;

/// numpy's name of the type: "<f8" for double on this machine.
template <ArrayElement T>
std::string dtype_of() {
  const char order =
      sizeof(T) == 1 ? '|' : (std::endian::native == std::endian::little ? '<' : '>');
  const auto kind = [] {
    if constexpr (std::same_as<T, bool>) {
      return 'b';
    } else if constexpr (std::is_floating_point_v<T>) {
      return 'f';
    } else if constexpr (std::is_integral_v<T>) {
      return std::is_signed_v<T> ? 'i' : 'u';
    } else {
      return 'c';
    }
  };
  return std::string{order, kind()} + std::to_string(sizeof(T));
}

/// A numpy array in C order: type, shape and bytes. Copies share the bytes, which never change.
///
/// An array that is sent is read straight from its bytes, and one that was received is a view of
/// the memory it was received in: nothing is copied when there are more than a few KiB.
class Array {
 public:
  /// Throws ConversionError when `data` is not as long as type and shape say.
  Array(std::string dtype, std::vector<std::size_t> shape, Buffer data);

  /// Shares the elements; `owner` keeps them alive and unchanged. An empty shape means one axis.
  template <ArrayElement T>
  static Array share(std::span<const T> elements,
                     std::shared_ptr<const void> owner,
                     std::vector<std::size_t> shape = {}) {
    if (shape.empty()) {
      shape.push_back(elements.size());
    }
    const auto bytes = std::as_bytes(elements);
    return {dtype_of<T>(), std::move(shape),
            Buffer{std::move(owner), {reinterpret_cast<const char*>(bytes.data()), bytes.size()}}};
  }
  /// Takes the elements over, without a copy.
  template <ArrayElement T>
    requires(!std::same_as<T, bool>)
  static Array take(std::vector<T> elements, std::vector<std::size_t> shape = {}) {
    auto owner = std::make_shared<const std::vector<T>>(std::move(elements));
    const std::span<const T> span(*owner);
    return share(span, std::move(owner), std::move(shape));
  }
  /// Copies the elements.
  template <ArrayElement T>
  static Array copy(std::span<const T> elements, std::vector<std::size_t> shape = {}) {
    // NOLINTNEXTLINE(modernize-avoid-c-arrays)
    auto owner = std::make_shared<T[]>(elements.size());
    std::copy(elements.begin(), elements.end(), owner.get());
    const std::span<const T> span(owner.get(), elements.size());
    return share(span, std::move(owner), std::move(shape));
  }

  /// numpy's `array.dtype.str`: byte order, kind, bytes of an element ("<f8", "|u1").
  [[nodiscard]] const std::string& dtype() const { return dtype_; }
  [[nodiscard]] const std::vector<std::size_t>& shape() const { return shape_; }
  /// Number of elements; 1 for a shape without axes.
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t element_bytes() const;
  [[nodiscard]] const Buffer& data() const { return data_; }

  template <ArrayElement T>
  [[nodiscard]] bool holds() const {
    return dtype_ == dtype_of<T>();
  }
  /// The elements, valid as long as any copy of the array. Throws ConversionError when the elements
  /// are of another type.
  template <ArrayElement T>
  [[nodiscard]] std::span<const T> elements() const {
    check_dtype(dtype_of<T>());
    return {reinterpret_cast<const T*>(data_.bytes.data()), size()};
  }

  /// Rows [first, first + count) of the first axis; shares the bytes.
  [[nodiscard]] Array rows(std::size_t first, std::size_t count) const;
  /// The arrays behind one another along the first axis; types and other axes must be the same.
  static Array concatenate(std::span<const Array> parts);

  bool operator==(const Array& other) const {
    return dtype_ == other.dtype_ && shape_ == other.shape_ && data_.bytes == other.data_.bytes;
  }

 private:
  void check_dtype(const std::string& wanted) const;

  std::string dtype_;
  std::vector<std::size_t> shape_;
  Buffer data_;
};

}  // namespace ipf
