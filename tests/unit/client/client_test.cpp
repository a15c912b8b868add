#include "ipyfleet/client.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/clock.hpp"
#include "core/text.hpp"
#include "net/poller.hpp"
#include "net/socket.hpp"
#include "net/wakeup.hpp"
#include "protocol/connection_file.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/message.hpp"
#include "protocol/session.hpp"

namespace ipf {
namespace {

using namespace std::chrono_literals;

/// A controller in one thread, with one engine "u0" that answers each call with its own buffers.
class FakeController {
 public:
  enum class Kind { answering, silent, lying };

  explicit FakeController(Kind kind = Kind::answering) : kind_(kind) {
    info_.key = "secret";
    info_.location = host_name();
    info_.registration = query_.bind("tcp://127.0.0.1", 0).value();
    info_.mux = mux_.bind("tcp://127.0.0.1", 0).value();
    info_.task = task_.bind("tcp://127.0.0.1", 0).value();
    info_.control = control_.bind("tcp://127.0.0.1", 0).value();
    info_.notification = notification_.bind("tcp://127.0.0.1", 0).value();
    info_.iopub = iopub_.bind("tcp://127.0.0.1", 0).value();
    info_.broadcast = {info_.mux};
    thread_ = std::jthread([this](const std::stop_token& stopping) { run(stopping); });
  }
  ~FakeController() {
    thread_.request_stop();
    wakeup_.signal();
  }
  FakeController(const FakeController&) = delete;
  FakeController& operator=(const FakeController&) = delete;

  [[nodiscard]] ConnectOptions options(Timeout timeout = 20s) const {
    return {.connection_text = connection_info_text(info_, PeerRole::client), .timeout = timeout};
  }
  /// The engine is gone: sent again and again until the client has heard it.
  void lose_engine() {
    losing_.store(true);
    wakeup_.signal();
  }

 private:
  void run(const std::stop_token& stopping) {
    Poller poller;
    for (const Socket* socket : {&query_, &mux_, &task_, &control_}) {
      poller.add(*socket);
    }
    poller.add_fd(wakeup_.fd());
    while (!stopping.stop_requested()) {
      const TimePoint now = steady_now();
      poller.wait(now, losing_.load() ? now + 20ms : TimePoint::never());
      wakeup_.drain();
      if (losing_.load()) {
        publish(notification_, "unregistration_notification", "{}", R"({"id": 0, "uuid": "u0"})");
      }
      for (Socket* socket : {&query_, &mux_, &task_, &control_}) {
        while (auto frames = socket->receive()) {
          answer(*socket, std::move(*frames));
        }
      }
    }
  }

  void answer(Socket& socket, Frames frames) {
    auto message = accept_message(std::move(frames), signer_, guard_);
    ASSERT_TRUE(message) << message.error().message;
    const auto header = headers_.read_header(*message);
    ASSERT_TRUE(header) << header.error().message;
    if (kind_ == Kind::silent || (&socket == &mux_ && losing_.load())) {
      return;
    }
    std::vector<SharedBytes> buffers;
    for (std::size_t i = message->first_buffer(); i < message->frames().size(); ++i) {
      buffers.push_back(message->frames().shared(i));
    }
    const bool listing = header->msg_type == "connection_request";
    const bool lying = kind_ == Kind::lying && !listing;
    const std::vector<std::string_view> way{message->identity(0)};
    Session& session = lying ? liar_ : session_;
    socket.send(session.make(
        {.type = listing ? "connection_reply" : "apply_reply",
         .parent = message->header(),
         .metadata = listing ? "{}" : R"({"status": "ok", "engine": "u0"})",
         .content = listing ? R"({"status": "ok", "engines": {"0": "u0"}})" : R"({"status": "ok"})",
         .identities = way,
         .buffers = buffers},
        wall_now()));
    if (!listing) {
      publish(iopub_, "stream", message->header(), R"({"name": "stdout", "text": "hello"})");
      publish(iopub_, "status", message->header(), R"({"execution_state": "idle"})");
    }
  }

  void publish(Socket& socket,
               std::string_view type,
               std::string_view parent,
               std::string_view content) {
    std::vector<std::string_view> topic;
    if (&socket == &iopub_) {
      topic.emplace_back("engine.0.output");
    }
    socket.send(session_.make(
        {.type = type, .parent = parent, .content = content, .identities = topic}, wall_now()));
  }

  Kind kind_;
  ConnectionInfo info_;
  NetContext context_;
  Socket query_{context_, SocketKind::router};
  Socket mux_{context_, SocketKind::router};
  Socket task_{context_, SocketKind::router};
  Socket control_{context_, SocketKind::router};
  Socket notification_{context_, SocketKind::pub};
  Socket iopub_{context_, SocketKind::pub};
  Wakeup wakeup_;
  Signer signer_ = std::move(Signer::create("secret")).value();
  Signer wrong_signer_ = std::move(Signer::create("guessed")).value();
  Session session_{new_session_id(), "tester", signer_};
  Session liar_{new_session_id(), "tester", wrong_signer_};
  ReplayGuard guard_;
  HeaderReader headers_;
  std::atomic<bool> losing_{false};
  std::jthread thread_;
};

ClientErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ClientError& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ClientErrorCode::invalid_argument;
}

TEST(ClientTest, ConnectsAndKnowsTheEngines) {
  const FakeController controller;
  const Client client(controller.options());
  EXPECT_EQ(client.engines(), (std::vector<EngineInfo>{{0, "u0"}}));
  EXPECT_TRUE(client.wait_for_engines(1, 0ns));
  EXPECT_FALSE(client.wait_for_engines(2, 10ms));
}

TEST(ClientTest, BuffersComeBackAsTheyWereSent) {
  const FakeController controller;
  Client client(controller.options());
  const auto large = std::make_shared<const std::string>(5'000'000, 'L');
  const std::string medium(100'000, 'm');
  const std::vector<Buffer> buffers{
      {nullptr, "small"}, {large, *large}, {nullptr, ""}, {nullptr, medium}};
  for (const std::string_view engine : {"u0", ""}) {
    const Request request = client.apply(engine, buffers);
    ASSERT_TRUE(request.wait(30s));
    EXPECT_EQ(request.status(), Status::ok);
    EXPECT_EQ(request.target(), engine);
    const auto back = request.reply_buffers();
    ASSERT_EQ(back.size(), buffers.size());
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      EXPECT_EQ(back[i].bytes, buffers[i].bytes);
    }
  }
}

TEST(ClientTest, ManyThreadsMaySendAtOnce) {
  const FakeController controller;
  Client client(controller.options());
  std::vector<std::vector<Request>> sent(4);
  {
    std::vector<std::jthread> threads;
    for (auto& requests : sent) {
      threads.emplace_back([&client, &requests] {
        for (int i = 0; i < 250; ++i) {
          const std::string text = std::to_string(i);
          requests.push_back(client.apply(i % 2 == 0 ? "u0" : "", {{{nullptr, text}}}));
        }
      });
    }
  }
  for (const auto& requests : sent) {
    EXPECT_TRUE(Completions(requests).wait_all(30s));
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(requests[i].reply_buffers().at(0).bytes, std::to_string(i));
    }
  }
  EXPECT_EQ(client.history().size(), 1000U);
  EXPECT_TRUE(client.outstanding().empty());
}

TEST(ClientTest, OutputIsCollectedUntilIdle) {
  const FakeController controller;
  Client client(controller.options());
  // The subscription may take effect after the first messages, so this may need a second try.
  for (const TimePoint end = steady_now() + 30s; steady_now() < end;) {
    const Request request = client.execute("u0", "print('hello')");
    if (request.wait_for_output(500ms)) {
      const Outputs outputs = request.outputs();
      ASSERT_EQ(outputs.items.size(), 1U);
      EXPECT_EQ(outputs.items[0].type, "stream");
      return;
    }
  }
  FAIL() << "no output arrived";
}

TEST(ClientTest, ALostEngineFailsWhatItWasAsked) {
  FakeController controller;
  Client client(controller.options());
  EXPECT_TRUE(client.apply("u0", {}).wait(30s));
  controller.lose_engine();
  std::optional<Request> request;
  try {
    while (!request || request->status() == Status::ok) {
      request = client.apply("u0", {});
      ASSERT_TRUE(request->wait(30s));
    }
  } catch (const ClientError& error) {
    FAIL() << error.what();
  }
  EXPECT_EQ(request->local_error_name(), "EngineError");
  EXPECT_TRUE(client.engines().empty());
}

TEST(ClientTest, AReplyWithAWrongSignatureIsNoReply) {
  const FakeController controller(FakeController::Kind::lying);
  Client client(controller.options());
  EXPECT_FALSE(client.apply("u0", {}).wait(300ms));
}

TEST(ClientTest, AControllerThatDoesNotAnswerIsATimeout) {
  const FakeController controller(FakeController::Kind::silent);
  EXPECT_EQ(code_of([&] { const Client client(controller.options(100ms)); }),
            ClientErrorCode::timed_out);
}

TEST(ClientTest, ClosingEndsWhatIsOutstandingAndRefusesMore) {
  const FakeController controller(FakeController::Kind::lying);
  Client client(controller.options());
  const Request request = client.apply("u0", {});
  client.close();
  client.close();
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(request.wait(0ns));
  EXPECT_EQ(request.local_error_name(), "ClientClosed");
  EXPECT_EQ(code_of([&] { client.apply("", {}); }), ClientErrorCode::closed);
  EXPECT_EQ(code_of([&] { static_cast<void>(client.wait_for_engines(1, 30s)); }),
            ClientErrorCode::closed);
}

TEST(ClientTest, RequestsOutliveTheirClient) {
  const FakeController controller(FakeController::Kind::lying);
  std::optional<Request> request;
  {
    Client client(controller.options());
    request = client.apply("", {});
  }
  EXPECT_TRUE(request->done());
  EXPECT_EQ(request->local_error_name(), "ClientClosed");
  EXPECT_TRUE(request->wait_for_output(0ns));
}

TEST(ClientTest, RequestsAreFoundByTheirIds) {
  const FakeController controller;
  Client client(controller.options());
  const Request request = client.apply("u0", {});
  ASSERT_TRUE(request.wait(30s));
  ASSERT_TRUE(client.find(request.msg_id()));
  EXPECT_EQ(client.find(request.msg_id())->number(), request.number());
  const std::string id = request.msg_id();
  for (const auto& wrong : std::vector<std::string>{"", "x_1_0", id + "9", id + "x"}) {
    EXPECT_FALSE(client.find(wrong)) << wrong;
  }
}

TEST(ClientTest, AWrongRouteIsRefused) {
  const FakeController controller;
  Client client(controller.options());
  EXPECT_EQ(code_of([&] { client.send({.route = Route::engine, .type = "apply_request"}); }),
            ClientErrorCode::invalid_argument);
  EXPECT_EQ(code_of([&] { client.send({.route = Route::hub, .type = "x", .engine_uuid = "u0"}); }),
            ClientErrorCode::invalid_argument);
}

TEST(ClientTest, WhatCannotBeConnectedToIsSaidAtOnce) {
  EXPECT_EQ(code_of([] { const Client client({.file = "/nonexistent/file.json"}); }),
            ClientErrorCode::not_found);
  EXPECT_EQ(code_of([] { const Client client({.connection_text = "{}"}); }),
            ClientErrorCode::invalid_argument);
  EXPECT_EQ(code_of([] { const Client client({.profile = "../evil"}); }),
            ClientErrorCode::invalid_argument);
  ConnectionInfo info{.curve_serverkey = "too short for a key"};
  info.registration = info.control = info.mux = info.task = info.iopub = info.notification = 1;
  info.broadcast = {1};
  const std::string text = connection_info_text(info, PeerRole::client);
  EXPECT_EQ(code_of([&] { const Client client({.connection_text = text}); }),
            ClientErrorCode::invalid_argument);
}

TEST(ClientTest, AForkedChildIsToldThatTheClientIsNotItsOwn) {
  const FakeController controller(FakeController::Kind::lying);
  auto client = std::make_unique<Client>(controller.options());
  const Request open = client->apply("", {});
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int wrong = 0;
    for (const auto& action : std::vector<std::function<void()>>{
             [&] { client->apply("", {}); }, [&] { static_cast<void>(client->engines()); },
             [&] { client->close(); }, [&] { static_cast<void>(open.wait()); }}) {
      try {
        action();
        ++wrong;
      } catch (const ClientError& error) {
        wrong += error.code() == ClientErrorCode::forked ? 0 : 1;
      }
    }
    client.reset();
    _exit(wrong);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_FALSE(client->closed());
}

}  // namespace
}  // namespace ipf
