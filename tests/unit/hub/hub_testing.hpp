#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "core/clock.hpp"
#include "hub/hub_events.hpp"
#include "hub/hub_machine.hpp"
#include "hub/store.hpp"
#include "protocol/frames.hpp"
#include "protocol/json_text.hpp"
#include "protocol/message.hpp"

/// Builders for the tests of the hub.
namespace ipf::test {

inline constexpr std::string_view client_session = "c1c1c1c1-00000000000000000000c1c1";

inline constexpr TimePoint at_ms(std::int64_t ms) {
  return {ms * 1'000'000};
}
inline constexpr Duration ms(std::int64_t count) {
  return std::chrono::milliseconds{count};
}

/// 2026-11-21T01:40:35Z and this many milliseconds.
inline WallTime wall_ms(std::int64_t more) {
  WallTime base;
  EXPECT_TRUE(parse_iso("2026-11-21T01:40:35Z", base));
  return {base.microseconds + more * 1000};
}

struct MessageParts {
  std::vector<std::string> identities{};
  std::string header{"{}"};
  std::string parent{"{}"};
  std::string metadata{"{}"};
  std::string content{"{}"};
  std::vector<std::string> buffers{};
};

inline Message make_message(const MessageParts& parts) {
  FramesBuilder builder;
  for (const auto& identity : parts.identities) {
    builder.add(identity);
  }
  builder.add(delimiter);
  builder.add(std::string_view{});
  for (const auto* frame : {&parts.header, &parts.parent, &parts.metadata, &parts.content}) {
    builder.add(*frame);
  }
  for (const auto& buffer : parts.buffers) {
    builder.add(buffer);
  }
  auto message = Message::split(builder.finish());
  EXPECT_TRUE(message);
  return std::move(*message);
}

inline std::string header_text(std::string_view msg_id,
                               std::string_view type,
                               std::int64_t date_ms,
                               std::string_view session = client_session) {
  return dump_json({{"msg_id", msg_id},
                    {"msg_type", type},
                    {"username", "u"},
                    {"session", session},
                    {"date", to_iso(wall_ms(date_ms))},
                    {"version", "5.4"}});
}

struct TaskParts {
  std::int64_t date_ms{0};
  std::string metadata{R"({"label": null})"};
  std::vector<std::string> buffers{"call"};
};

inline Message apply_request(std::string_view msg_id, const TaskParts& parts = {}) {
  return make_message({.identities = {"client"},
                       .header = header_text(msg_id, "apply_request", parts.date_ms),
                       .metadata = parts.metadata,
                       .buffers = parts.buffers});
}

inline Message apply_reply(std::string_view msg_id,
                           std::string_view engine,
                           const TaskParts& parts = {
                               .date_ms = 20, .metadata = {}, .buffers = {"result"}}) {
  const std::string metadata = parts.metadata.empty()
                                   ? dump_json({{"started", to_iso(wall_ms(parts.date_ms - 10))},
                                                {"status", "ok"},
                                                {"engine", engine}})
                                   : parts.metadata;
  return make_message(
      {.identities = {"client"},
       .header = header_text("r_" + std::string(msg_id), "apply_reply", parts.date_ms, engine),
       .parent = header_text(msg_id, "apply_request", 0),
       .metadata = metadata,
       .content = R"({"status": "ok"})",
       .buffers = parts.buffers});
}

inline Message output(std::string content) {
  return make_message({.content = std::move(content)});
}

/// The one action of this kind; the test fails when there is none or more than one.
template <class Action>
const Action& only(const HubActions& actions) {
  const Action* found = nullptr;
  for (const auto& action : actions) {
    if (const auto* one = std::get_if<Action>(&action)) {
      EXPECT_EQ(found, nullptr) << "more than one action of this kind";
      found = one;
    }
  }
  if (found == nullptr) {
    ADD_FAILURE() << "no action of this kind";
    std::abort();
  }
  return *found;
}

template <class Action>
std::vector<Action> all(const HubActions& actions) {
  std::vector<Action> found;
  for (const auto& action : actions) {
    if (const auto* one = std::get_if<Action>(&action)) {
      found.push_back(*one);
    }
  }
  return found;
}

inline Json parsed(std::string_view text) {
  auto value = parse_json(text);
  EXPECT_TRUE(value) << text;
  return value ? std::move(*value) : Json();
}

inline std::vector<std::string> texts(const std::vector<SharedBytes>& buffers) {
  std::vector<std::string> out;
  for (const auto& buffer : buffers) {
    out.emplace_back(buffer.bytes);
  }
  return out;
}

/// A hub with its store and a clock that the test moves. Invariants are checked after each step.
class TestHub {
 public:
  explicit TestHub(Store& store, const HubOptions& options = {}) : machine_(options, store) {}

  HubActions step(HubEvent event) {
    HubActions actions;
    machine_.step(now_, wall_, std::move(event), actions);
    machine_.check_invariants();
    EXPECT_GT(machine_.next_deadline(), now_) << "a deadline was left behind";
    return actions;
  }
  /// Time passes and the machine is told.
  HubActions wait(std::int64_t count) {
    pass(count);
    return step(TimePassed{});
  }
  /// Time passes unnoticed.
  void pass(std::int64_t count) {
    now_ = now_ + ms(count);
    wall_.microseconds += count * 1000;
  }

  HubActions request(std::string_view type, const Json& content, std::string identity = "client") {
    Message message =
        make_message({.identities = {std::move(identity)},
                      .header = header_text("q" + std::to_string(++requests_), type, 0),
                      .content = dump_json(content)});
    auto decoded = decode_hub_request(type, content);
    return step(HubRequestReceived{.request = std::move(message), .decoded = std::move(decoded)});
  }
  /// Sends the request and gives the content of the one reply, which must be of this type.
  Json ask(std::string_view type, const Json& content, std::string_view reply_type) {
    const auto actions = request(type, content);
    last_reply_ = {only<SendHubReply>(actions)};
    EXPECT_EQ(last_reply_[0].msg_type, reply_type);
    EXPECT_TRUE(last_reply_[0].with_parent);
    return parsed(last_reply_[0].content);
  }
  [[nodiscard]] std::vector<std::string> reply_buffers() const {
    return texts(last_reply_.at(0).buffers);
  }

  /// Registers an engine and lets its heart beat.
  EngineId add_engine(const std::string& uuid) {
    const auto actions = request("registration_request", {{"uuid", uuid}}, uuid);
    const auto id = parsed(only<SendHubReply>(actions).content).at("id").get<std::int32_t>();
    step(HeartStarted{.uuid = uuid});
    return EngineId{id};
  }

  void submit(const std::string& msg_id,
              TaskQueue queue,
              const std::string& engine,
              const TaskParts& parts = {}) {
    step(RequestSeen{.queue = queue,
                     .msg_id = msg_id,
                     .engine_uuid = engine,
                     .request = apply_request(msg_id, parts)});
  }
  void finish(const std::string& msg_id, TaskQueue queue, const std::string& engine) {
    step(ReplySeen{.queue = queue,
                   .msg_id = msg_id,
                   .engine_uuid = engine,
                   .reply = apply_reply(msg_id, engine)});
  }

  HubMachine& machine() { return machine_; }
  [[nodiscard]] TimePoint now() const { return now_; }

 private:
  HubMachine machine_;
  TimePoint now_{at_ms(1000)};
  WallTime wall_{wall_ms(0)};
  int requests_{};
  std::vector<SendHubReply> last_reply_;
};

}  // namespace ipf::test
