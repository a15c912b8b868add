#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "controller/controller.hpp"
#include "core/log.hpp"
#include "protocol/connection_file.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/session.hpp"
#include "unit/core/core_testing.hpp"
#include "unit/net/net_testing.hpp"
#include "unit/protocol/protocol_testing.hpp"

/// A controller in this process, with peers made of bare sockets.
namespace ipf::test {

/// Keeps every line; any thread.
class KeptLog final : public Log {
 public:
  void write(LogLevel level, std::string_view text) override {
    const std::scoped_lock lock(mutex_);
    lines_.emplace_back(level, text);
  }
  [[nodiscard]] bool enabled(LogLevel /*level*/) const override { return true; }
  /// The lines of at least this level that contain the text.
  [[nodiscard]] std::vector<std::string> lines(LogLevel level, std::string_view part = {}) const {
    const std::scoped_lock lock(mutex_);
    std::vector<std::string> out;
    for (const auto& [at, text] : lines_) {
      if (at >= level && text.find(part) != std::string::npos) {
        out.push_back(text);
      }
    }
    return out;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<LogLevel, std::string>> lines_;
};

/// Asks again and again, without rest but not without end.
inline bool eventually(const std::function<bool()>& holds) {
  for (const TimePoint end = steady_now() + patience; steady_now() < end;) {
    if (holds()) {
      return true;
    }
    Poller poller;
    poller.wait(steady_now(), steady_now() + std::chrono::milliseconds(2));
  }
  return holds();
}

/// One end of the wire: sends signed messages, receives and verifies.
class Peer {
 public:
  Peer(NetContext& context, const ConnectionInfo& info, SocketKind kind, std::string identity = {})
      : signer_(make_signer(info.key)),
        session_(identity.empty() ? new_session_id() : identity, "tester", signer_),
        socket_(context, kind, {.identity = std::move(identity), .linger_ms = 0}) {}

  void connect(int port) { connect_to(socket_, port); }
  Socket& socket() { return socket_; }
  Session& session() { return session_; }

  /// Returns the msg_id.
  std::string send(const Outgoing& outgoing) {
    EXPECT_EQ(socket_.send(session_.make(outgoing, wall_now())), SendResult::sent);
    return session_.last_msg_id();
  }
  /// The next verified message; the test fails without one.
  Message receive() {
    auto frames = test::receive(socket_);
    if (!frames) {
      ADD_FAILURE() << "no message came";
      return nothing();
    }
    auto message = verify_message(std::move(*frames), signer_);
    EXPECT_TRUE(message) << "a message with a wrong signature came";
    return message ? std::move(*message) : nothing();
  }
  /// True when nothing comes for a moment.
  bool silent(Duration longest = std::chrono::milliseconds(30)) {
    return !test::receive(socket_, longest);
  }

 private:
  /// Stands for a message that did not come, so that the test goes on to its end.
  static Message nothing() {
    return unsigned_message({.identities = {"nobody", "nobody"}, .buffers = {"no message"}});
  }

  Signer signer_;
  Session session_;
  Socket socket_;
};

/// An engine of bare sockets: registers, answers pings, and replies when the test says so.
class FakeEngine {
 public:
  FakeEngine(NetContext& context, const ConnectionInfo& info, const std::string& uuid)
      : uuid_(uuid),
        registration_(context, info, SocketKind::dealer, uuid),
        shell_(context, info, SocketKind::router, uuid),
        iopub_(context, info, SocketKind::pub),
        ping_(context, SocketKind::sub),
        pong_(context, SocketKind::dealer, {.identity = uuid, .linger_ms = 0}) {
    registration_.connect(info.registration);
    shell_.connect(info.mux);
    shell_.connect(info.task);
    shell_.connect(info.control);
    shell_.connect(info.broadcast.at(0));
    iopub_.connect(info.iopub);
    connect_to(pong_, info.hb_pong);
    connect_to(ping_, info.hb_ping);
  }
  /// Asks for an id, subscribes to the pings and echoes the first one.
  int join() {
    registration_.send(
        {.type = "registration_request", .content = R"({"uuid": ")" + uuid_ + "\"}"});
    const Json reply = json_of(registration_.receive().content());
    EXPECT_EQ(reply.value("status", ""), "ok") << reply;
    ping_.subscribe_all();
    answer_ping();
    return reply.value("id", -1);
  }
  void answer_ping() {
    const auto ping = test::receive(ping_);
    ASSERT_TRUE(ping) << "no ping came";
    pong_.send(*ping);
  }
  void leave(int id) {
    registration_.send(
        {.type = "unregistration_request", .content = R"({"id": )" + std::to_string(id) + "}"});
  }
  Message receive() { return shell_.receive(); }
  /// Answers a request that receive() gave; extra keys go into the metadata.
  void reply(const Message& request, std::string_view buffer, const Json& extra = Json::object()) {
    Json metadata{{"status", "ok"}, {"engine", uuid_}, {"dependencies_met", true}};
    metadata.update(extra);
    std::vector<std::string_view> route;
    for (std::size_t i = 0; i < request.identity_count(); ++i) {
      route.push_back(request.identity(i));
    }
    const auto owner = std::make_shared<const std::string>(buffer);
    const std::vector<SharedBytes> buffers{{owner, *owner}};
    const std::string metadata_text = dump_json(metadata);
    shell_.send({.type = "apply_reply",
                 .parent = request.header(),
                 .metadata = metadata_text,
                 .content = R"({"status": "ok"})",
                 .identities = route,
                 .buffers = buffers});
  }
  Peer& registration() { return registration_; }
  Peer& shell() { return shell_; }
  Peer& iopub() { return iopub_; }
  [[nodiscard]] const std::string& uuid() const { return uuid_; }

 private:
  std::string uuid_;
  Peer registration_;
  Peer shell_;
  Peer iopub_;
  Socket ping_;
  Socket pong_;
};

/// A controller on a profile of its own.
class TestController {
 public:
  explicit TestController(const std::function<void(ControllerOptions&)>& change = {}) {
    options_.paths = {.dir = dir_ / "profile", .cluster_id = "test"};
    options_.location = "localhost";
    // A slow machine must neither lose nor suspect an engine; a first pong is asked for at once.
    options_.heartbeat_period = std::chrono::seconds(60);
    if (change) {
      change(options_);
    }
    start();
  }
  void start() {
    auto started = Controller::start(options_, log_);
    ASSERT_TRUE(started) << started.error().message;
    controller_ = std::move(*started);
    client_ = *read_connection_file(options_.paths.client_file(), PeerRole::client);
    engine_ = *read_connection_file(options_.paths.engine_file(), PeerRole::engine);
  }
  void stop() { controller_.reset(); }

  [[nodiscard]] Controller& controller() { return *controller_; }
  [[nodiscard]] const ControllerOptions& options() const { return options_; }
  [[nodiscard]] KeptLog& log() { return log_; }
  [[nodiscard]] NetContext& context() { return context_; }
  [[nodiscard]] const ConnectionInfo& client_info() const { return client_; }
  [[nodiscard]] const ConnectionInfo& engine_info() const { return engine_; }

  /// A client's socket, connected to one port of the client file.
  Peer client(int port) {
    Peer peer(context_, client_, SocketKind::dealer);
    peer.connect(port);
    return peer;
  }
  Json ask_hub(Peer& query, std::string_view type, const std::string& content = "{}") {
    query.send({.type = type, .content = content});
    return json_of(query.receive().content());
  }

 private:
  TempDir dir_;
  KeptLog log_;
  NetContext context_;
  ControllerOptions options_;
  std::unique_ptr<Controller> controller_;
  ConnectionInfo client_;
  ConnectionInfo engine_;
};

}  // namespace ipf::test
