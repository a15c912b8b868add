#include "store/mongo_backend.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "hub/record_change.hpp"
#include "unit/store/mongo_testing.hpp"
#include "unit/store/store_testing.hpp"

namespace ipf {
namespace {

using Names = std::vector<std::string>;

class MongoBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::MongoServer::available()) {
      GTEST_SKIP() << "Maven or a JDK is missing: apt-get install maven default-jdk-headless";
    }
  }
  static TaskRecord record(const std::string& msg_id, const test::TaskParts& parts = {}) {
    TaskRecord out{.msg_id = msg_id};
    apply_change(out,
                 RecordRequest{.queue = TaskQueue::task,
                               .engine_uuid = {},
                               .request = test::apply_request(msg_id, parts)},
                 {});
    return out;
  }
  static Result<void> write(MongoBackend& backend, const TaskRecord& one) {
    return backend.write({{.record = &one}});
  }

  test::StoreLog log;
};

TEST_F(MongoBackendTest, AnAbsentServerIsNamedWithoutThePassword) {
  const auto backend = MongoBackend::open({.uri = "mongodb://me:secret@127.0.0.1:1/",
                                           .connect_timeout = std::chrono::milliseconds(300)},
                                          log);
  ASSERT_FALSE(backend);
  EXPECT_NE(backend.error().message.find("127.0.0.1:1"), std::string::npos);
  EXPECT_EQ(backend.error().message.find("secret"), std::string::npos);
  EXPECT_FALSE(MongoBackend::open({.uri = "nonsense"}, log));
}

TEST_F(MongoBackendTest, ARestartOfTheHubKeepsTheHistory) {
  const test::MongoServer server;
  for (int i = 0; i < 2; ++i) {
    const auto backend = MongoBackend::open({.uri = server.uri()}, log);
    ASSERT_TRUE(backend) << backend.error().message;
    ASSERT_TRUE(write(**backend, record("b" + std::to_string(i))));
    ASSERT_TRUE(write(**backend, record("a" + std::to_string(i))));
  }
  const auto backend = MongoBackend::open({.uri = server.uri()}, log);
  EXPECT_EQ(*(*backend)->history(), (Names{"b0", "a0", "b1", "a1"}));
}

TEST_F(MongoBackendTest, AServerThatComesBackIsUsedAgain) {
  test::MongoServer server;
  const auto backend = MongoBackend::open(
      {.uri = server.uri(), .connect_timeout = std::chrono::milliseconds(300)}, log);
  ASSERT_TRUE(backend) << backend.error().message;
  server.stop();
  const auto lost = write(**backend, record("a"));
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::unavailable);
  EXPECT_FALSE((*backend)->history());
  server.restart();
  Result<void> written = unexpected(ErrorCode::unavailable, "not tried");
  for (int i = 0; i < 100 && !written; ++i) {
    written = write(**backend, record("a"));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(*(*backend)->history(), Names{"a"});
}

TEST_F(MongoBackendTest, WhatIsTooLargeForADocumentIsLeftOut) {
  const test::MongoServer server;
  const auto backend = MongoBackend::open({.uri = server.uri()}, log);
  ASSERT_TRUE(backend) << backend.error().message;
  ASSERT_TRUE(write(**backend, record("big", {.buffers = {std::string(20U << 20U, 'x')}})));
  ASSERT_TRUE(write(**backend, record("big too", {.buffers = {std::string(20U << 20U, 'x')}})));
  EXPECT_EQ(log.count(LogLevel::warning, "too large"), 1U);
  const auto loaded = (*backend)->load("big");
  ASSERT_TRUE(loaded && *loaded);
  EXPECT_EQ((*loaded)->request->buffer_count(), 0U);
}

TEST_F(MongoBackendTest, KeysThatMongoKeepsForItselfAreOnlyKeys) {
  const test::MongoServer server;
  const auto backend = MongoBackend::open({.uri = server.uri()}, log);
  ASSERT_TRUE(backend) << backend.error().message;
  const std::string metadata = R"({"$set": {"a.b": 1}, "x": [{"": 2}], "label": "l"})";
  ASSERT_TRUE(write(**backend, record("a", {.metadata = metadata})));
  const auto found = (*backend)->find(*StoreQuery::parse({{"label", "l"}}), 10);
  ASSERT_TRUE(found);
  EXPECT_EQ(test::visible(found->at(0)).at("metadata"), test::parsed(metadata));
}

}  // namespace
}  // namespace ipf
