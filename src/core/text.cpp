#include "core/text.hpp"

#include <array>
#include <charconv>
#include <cstdlib>
#include <pwd.h>
#include <sys/random.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "core/check.hpp"

namespace ipf {

std::string random_hex(std::size_t bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::vector<unsigned char> raw(bytes);
  std::size_t filled = 0;
  while (filled < bytes) {
    const ssize_t got = getrandom(raw.data() + filled, bytes - filled, 0);
    IPF_CHECK(got > 0 || errno == EINTR);
    filled += got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  std::string out;
  out.reserve(2 * bytes);
  for (const unsigned char byte : raw) {
    out += digits[byte >> 4U];
    out += digits[byte & 15U];
  }
  return out;
}

std::string new_session_id() {
  return random_hex(16).insert(8, "-");
}

bool equal_constant_time(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) {
    return false;
  }
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |=
        static_cast<unsigned char>(a[i]) ^ static_cast<unsigned>(static_cast<unsigned char>(b[i]));
  }
  return difference == 0;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') {
    return "localhost";
  }
  return name.data();
}

std::string errno_text(int errno_value) {
  return std::error_code(errno_value, std::generic_category()).message();
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  double amount = 0;
  const char* const end = text.data() + text.size();
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the end is given
  const auto read = std::from_chars(text.data(), end, amount);
  if (read.ec != std::errc{} || !(amount >= 0)) {
    return std::nullopt;
  }
  std::string_view unit = text.substr(static_cast<std::size_t>(read.ptr - text.data()));
  constexpr std::string_view units = "kMGT";
  double factor = 1;
  if (const auto at =
          unit.empty() ? std::string_view::npos : units.find(unit[0] == 'K' ? 'k' : unit[0]);
      at != std::string_view::npos) {
    for (std::size_t i = 0; i <= at; ++i) {
      factor *= 1024;
    }
    unit.remove_prefix(1);
  }
  constexpr double largest = 9e18;
  if ((!unit.empty() && unit != "B" && unit != "iB") || amount * factor > largest) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(amount * factor);
}

std::string user_name() {
  const char* user = std::getenv("USER");  // NOLINT(concurrency-mt-unsafe): read at start
  if (user != nullptr && *user != '\0') {
    return user;
  }
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> space{};
  if (getpwuid_r(geteuid(), &entry, space.data(), space.size(), &found) == 0 && found != nullptr) {
    return found->pw_name;
  }
  return "username";
}

}  // namespace ipf
