#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/log.hpp"
#include "hub/record_columns.hpp"
#include "hub/store.hpp"
#include "hub/store_query.hpp"
#include "unit/core/core_testing.hpp"
#include "unit/hub/hub_testing.hpp"

/// Stores of all kinds for the tests, asked in one way.
namespace ipf::test {

/// Keeps every line; any thread.
class StoreLog final : public Log {
 public:
  void write(LogLevel level, std::string_view text) override {
    const std::scoped_lock lock(mutex_);
    lines_.emplace_back(level, text);
  }
  [[nodiscard]] bool enabled(LogLevel /*level*/) const override { return true; }
  /// Lines of at least this level that contain the text.
  [[nodiscard]] std::size_t count(LogLevel level, std::string_view part = {}) const {
    const std::scoped_lock lock(mutex_);
    return static_cast<std::size_t>(std::ranges::count_if(lines_, [&](const auto& line) {
      return line.first >= level && line.second.find(part) != std::string::npos;
    }));
  }
  [[nodiscard]] std::string text() const {
    const std::scoped_lock lock(mutex_);
    std::string out;
    for (const auto& [level, line] : lines_) {
      out += line + "\n";
    }
    return out;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<LogLevel, std::string>> lines_;
};

/// A store that runs, and waits for its answers. Owned by one test.
class AskedStore {
 public:
  explicit AskedStore(std::unique_ptr<Store> store) : store_(std::move(store)) {
    store_->start([this](StoreAnswered answered) {
      const std::scoped_lock lock(mutex_);
      answers_.emplace(answered.token, std::move(answered.answer));
      arrived_.notify_all();
    });
  }
  ~AskedStore() { store_->stop(); }
  AskedStore(const AskedStore&) = delete;
  AskedStore& operator=(const AskedStore&) = delete;

  Store& operator*() { return *store_; }
  Store* operator->() { return store_.get(); }

  StoreAnswer ask(StoreRequest request) {
    const auto token = ++token_;
    if (auto at_once = store_->ask(token, std::move(request))) {
      return std::move(*at_once);
    }
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, std::chrono::seconds(20),
                           [&] { return answers_.contains(token); })) {
      ADD_FAILURE() << "the store did not answer";
      return {};
    }
    const auto answer = std::move(answers_.at(token));
    answers_.erase(token);
    return std::move(*answer);
  }
  std::vector<TaskRecord> find(const Json& query, std::size_t most = 1'000'000) {
    auto parsed_query = StoreQuery::parse(query);
    EXPECT_TRUE(parsed_query) << query;
    auto answer = ask(FindRecords{.query = std::move(*parsed_query), .records_max = most});
    EXPECT_FALSE(answer.failure) << answer.failure->message;
    return std::move(answer.records);
  }
  std::vector<std::string> ids(const Json& query) {
    std::vector<std::string> out;
    for (const auto& record : find(query)) {
      out.push_back(record.msg_id);
    }
    return out;
  }
  std::optional<TaskRecord> get(const std::string& msg_id) {
    auto answer = ask(GetRecords{.msg_ids = {msg_id}});
    EXPECT_FALSE(answer.failure) << answer.failure->message;
    EXPECT_LE(answer.records.size(), 1U);
    return answer.records.empty() ? std::nullopt : std::optional(std::move(answer.records[0]));
  }
  std::vector<std::string> history() { return ask(ListHistory{}).history; }

  void request(const std::string& msg_id,
               TaskQueue queue = TaskQueue::task,
               const std::string& engine = {},
               const TaskParts& parts = {}) {
    store_->apply(msg_id, RecordRequest{.queue = queue,
                                        .engine_uuid = engine,
                                        .request = apply_request(msg_id, parts)});
  }
  void reply(const std::string& msg_id,
             const std::string& engine = "e1",
             const TaskParts& parts = {.date_ms = 20, .metadata = {}, .buffers = {"result"}}) {
    store_->apply(msg_id, RecordReply{.engine_uuid = engine,
                                      .received = wall_ms(parts.date_ms + 5),
                                      .reply = apply_reply(msg_id, engine, parts)});
  }
  void print(const std::string& msg_id, const std::string& text) {
    store_->apply(msg_id,
                  RecordOutput{.msg_type = "stream",
                               .output = output(dump_json({{"name", "stdout"}, {"text", text}}))});
  }

 private:
  std::unique_ptr<Store> store_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::map<std::uint64_t, std::shared_ptr<StoreAnswer>> answers_;
  std::uint64_t token_{};
};

/// All that anybody can see of a record.
inline Json visible(const TaskRecord& record) {
  Json out = record_to_json(record, all_json_columns());
  out["buffers"] = texts(buffers_of(record.request));
  out["result_buffers"] = texts(buffers_of(record.reply));
  return out;
}

}  // namespace ipf::test
