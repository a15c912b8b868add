#include "engine/connection_source.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "core/clock.hpp"
#include "net/address.hpp"
#include "protocol/signer.hpp"

namespace ipf::engine {

namespace {

constexpr Duration file_poll_first = std::chrono::milliseconds(5);
constexpr Duration file_poll_longest = std::chrono::milliseconds(200);
constexpr Duration file_note_every = std::chrono::seconds(10);
/// A file that is being written by somebody who does not rename: try again this long.
constexpr Duration malformed_patience = std::chrono::milliseconds(500);

Result<void> apply_url(const std::string& url, ConnectionInfo& info) {
  const auto colon = url.rfind(':');
  int port = 0;
  if (url.find("://") != std::string::npos && colon != std::string::npos) {
    const char* end = url.data() + url.size();
    const auto parsed = std::from_chars(url.data() + colon + 1, end, port);
    if (parsed.ec == std::errc{} && parsed.ptr == end && port > 0 && port < 65536) {
      info.interface = url.substr(0, colon);
      info.registration = port;
      return {};
    }
  }
  return unexpected(ErrorCode::invalid_argument,
                    "--url '" + printable(url) + "' is no address like tcp://10.0.0.1:10101");
}

}  // namespace

Result<FoundConnection> ConnectionSource::find() {
  const bool by_address = !options_.controller_ip.empty() || options_.controller_port != 0;
  if (!options_.connection_text.empty()) {
    auto info = parse_connection_info(options_.connection_text, PeerRole::engine,
                                      "in $IPP_CONNECTION_INFO");
    if (!info) {
      return unexpected(info.error());
    }
    auto complete = with_overrides(std::move(*info));
    if (!complete) {
      return unexpected(complete.error());
    }
    return FoundConnection{.info = std::move(*complete)};
  }
  if (by_address && options_.controller_port != 0 && !file_stamp(file_)) {
    if (!options_.key) {
      return unexpected(ErrorCode::not_found,
                        "--controller-ip and --controller-port need the key of the cluster: use "
                        "--keyfile, or --file "
                        "with the controller's ipcontroller-engine.json");
    }
    ConnectionInfo info;
    auto complete = with_overrides(std::move(info));
    if (!complete) {
      return unexpected(complete.error());
    }
    return FoundConnection{.info = std::move(*complete), .ports_from_reply = true};
  }
  auto info = wait_for_file();
  if (!info) {
    return unexpected(info.error());
  }
  last_ = *info;
  return FoundConnection{.info = std::move(*info)};
}

Result<ConnectionInfo> ConnectionSource::wait_for_file() {
  const TimePoint begin = steady_now();
  const TimePoint end = begin + options_.wait_for_file;
  TimePoint note_at = begin;
  TimePoint malformed_until = TimePoint::never();
  Duration pause = file_poll_first;
  while (true) {
    read_state_ = file_stamp(file_);
    auto info = read_connection_file(file_, PeerRole::engine);
    if (info) {
      return with_overrides(std::move(*info));
    }
    const TimePoint now = steady_now();
    if (info.error().code != ErrorCode::not_found) {
      if (malformed_until == TimePoint::never()) {
        malformed_until = now + malformed_patience;
      }
      if (info.error().code != ErrorCode::malformed || now >= malformed_until) {
        return unexpected(info.error());
      }
    }
    if (now >= end) {
      return unexpected(ErrorCode::timed_out,
                        "no connection file " + file_.string() + " after " +
                            std::to_string(std::chrono::duration_cast<std::chrono::seconds>(
                                               options_.wait_for_file)
                                               .count()) +
                            " s: start ipcontroller first, or name its file with --file");
    }
    if (now >= note_at) {
      log_.info("waiting for the controller's connection file " + file_.string());
      note_at = now + file_note_every;
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 5 / 4, file_poll_longest);
  }
}

Result<ConnectionInfo> ConnectionSource::with_overrides(ConnectionInfo info) const {
  if (!options_.location.empty()) {
    info.location = options_.location;
  }
  if (options_.key) {
    info.key = *options_.key;
  }
  if (!options_.registration_url.empty()) {
    IPF_TRY(apply_url(options_.registration_url, info));
  }
  if (!options_.controller_ip.empty()) {
    info.interface = "tcp://" + options_.controller_ip;
  }
  if (options_.controller_port != 0) {
    info.registration = options_.controller_port;
  }
  if (!info.curve_serverkey && !options_.curve_server_key.empty()) {
    info.curve_serverkey = options_.curve_server_key;
  }
  if (const auto curve = curve_peer(options_.curve_keys, info.curve_serverkey); !curve) {
    return unexpected(curve.error());
  }
  if (const auto signer = Signer::create(info.key, info.signature_scheme); !signer) {
    return unexpected(signer.error());
  }
  if (!options_.tunnel.empty() || !options_.ssh_server.empty() || !options_.ssh_key.empty()) {
    info.interface = options_.tunnel.empty() ? info.interface : options_.tunnel;
    return info;  // what can be reached from here does not matter
  }
  auto interface = reachable_interface(info.interface, info.location);
  if (!interface) {
    return unexpected(interface.error());
  }
  info.interface = std::move(*interface);
  return info;
}

std::optional<ConnectionInfo> ConnectionSource::changed() {
  if (!read_state_) {
    return std::nullopt;
  }
  const auto state = file_stamp(file_);
  if (!state || state == read_state_) {
    return std::nullopt;
  }
  auto info = read_connection_file(file_, PeerRole::engine);
  if (!info) {
    return std::nullopt;  // gone or half written: look again later
  }
  auto complete = with_overrides(std::move(*info));
  if (!complete) {
    log_.warning("the new connection file cannot be used: " + complete.error().message);
    read_state_ = state;
    return std::nullopt;
  }
  read_state_ = state;
  if (last_ == *complete) {
    return std::nullopt;
  }
  last_ = *complete;
  return std::move(*complete);
}

}  // namespace ipf::engine
