#include "hub/engine_table.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "unit/hub/hub_testing.hpp"

namespace ipf {
namespace {

using test::at_ms;
using test::ms;

class EngineTableTest : public testing::Test {
 protected:
  void TearDown() override { table.check_invariants(); }
  EngineId begin(const std::string& uuid, std::optional<EngineId> wanted = {}) {
    const auto id = table.begin(uuid, wanted, at_ms(0));
    EXPECT_TRUE(id);
    return id.value_or(EngineId{-1});
  }
  EngineId add(const std::string& uuid, std::optional<EngineId> wanted = {}) {
    begin(uuid, wanted);
    return table.complete(uuid)->id;
  }
  EngineTable table{
      {.registration_timeout = ms(100), .pending_max = 3, .active_max = 5, .lost_max = 2}};
};

TEST_F(EngineTableTest, NumbersAreCountedFromZero) {
  EXPECT_EQ(begin("a"), EngineId{0});
  EXPECT_EQ(begin("b"), EngineId{1});
  EXPECT_EQ(table.complete("b")->id, EngineId{1});
  EXPECT_EQ(table.complete("a")->id, EngineId{0});
}

TEST_F(EngineTableTest, ANumberIsNotGivenToAnotherEngineLater) {
  add("a");
  ASSERT_TRUE(table.remove(EngineId{0}));
  EXPECT_EQ(add("b"), EngineId{1});
}

TEST_F(EngineTableTest, AWantedNumberIsGrantedAndTheCounterMovesBehindIt) {
  EXPECT_EQ(add("rank7", EngineId{7}), EngineId{7});
  EXPECT_EQ(add("next"), EngineId{8});
  EXPECT_EQ(add("rank2", EngineId{2}), EngineId{2});
  EXPECT_EQ(add("after"), EngineId{9});
}

TEST_F(EngineTableTest, AWantedNumberThatIsActiveOrPendingIsReplacedByTheCounter) {
  add("active", EngineId{3});
  EXPECT_EQ(begin("x", EngineId{3}), EngineId{4});
  EXPECT_EQ(begin("y", EngineId{4}), EngineId{5});
}

TEST_F(EngineTableTest, AnAbsurdWantedNumberDoesNotExhaustTheCounter) {
  EXPECT_EQ(begin("greedy", EngineId{std::numeric_limits<std::int32_t>::max()}), EngineId{0});
  EXPECT_EQ(begin("negative", EngineId{-5}), EngineId{1});
}

TEST_F(EngineTableTest, WhenTheNumbersAreUsedUpRegistrationFails) {
  EXPECT_EQ(add("last", EngineTable::id_max), EngineTable::id_max);
  const auto next = table.begin("one more", {}, at_ms(0));
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, ErrorCode::unavailable);
}

TEST_F(EngineTableTest, AUuidInUseIsRefusedAndBurnsNoNumber) {
  add("a");
  begin("b");
  for (const auto* uuid : {"a", "b"}) {
    const auto again = table.begin(uuid, {}, at_ms(0));
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, ErrorCode::invalid_argument);
    EXPECT_EQ(again.error().message, "uuid '" + std::string(uuid) + "' in use");
  }
  EXPECT_EQ(begin("c"), EngineId{2});
}

TEST_F(EngineTableTest, ALostEngineThatComesBackGetsItsOldNumber) {
  add("a");
  add("b");
  table.remove(EngineId{0});
  add("c");
  EXPECT_EQ(add("a"), EngineId{0});
}

TEST_F(EngineTableTest, ALostEngineGetsANewNumberWhenAnotherAskedForItsOldOne) {
  add("a");
  table.remove(EngineId{0});
  EXPECT_EQ(add("thief", EngineId{0}), EngineId{0});
  EXPECT_EQ(add("a"), EngineId{1});
}

TEST_F(EngineTableTest, OnlyTheLastLostEnginesAreRemembered) {
  for (const auto* uuid : {"a", "b", "c"}) {
    table.remove(add(uuid));
  }
  EXPECT_EQ(begin("a"), EngineId{3});
  EXPECT_EQ(begin("c"), EngineId{2});
}

TEST_F(EngineTableTest, RegistrationsAreLimited) {
  for (const auto* uuid : {"a", "b", "c"}) {
    begin(uuid);
  }
  EXPECT_EQ(table.begin("d", {}, at_ms(0)).error().code, ErrorCode::unavailable);
  for (const auto* uuid : {"a", "b", "c"}) {
    table.complete(uuid);
  }
  add("d");
  add("e");
  EXPECT_EQ(table.begin("f", {}, at_ms(0)).error().code, ErrorCode::unavailable);
}

TEST_F(EngineTableTest, PendingEnginesExpireInOrder) {
  ASSERT_TRUE(table.begin("a", {}, at_ms(0)));
  ASSERT_TRUE(table.begin("b", {}, at_ms(50)));
  EXPECT_EQ(table.next_deadline(), at_ms(100));
  EXPECT_TRUE(table.take_expired(at_ms(99)).empty());
  const auto expired = table.take_expired(at_ms(100));
  ASSERT_EQ(expired.size(), 1U);
  EXPECT_EQ(expired[0].uuid, "a");
  EXPECT_EQ(table.next_deadline(), at_ms(150));
  table.cancel("b");
  EXPECT_EQ(table.next_deadline(), TimePoint::never());
}

TEST_F(EngineTableTest, APendingEngineIsNotActive) {
  begin("a");
  EXPECT_FALSE(table.find("a"));
  EXPECT_FALSE(table.find(EngineId{0}));
  EXPECT_FALSE(table.remove(EngineId{0}));
  EXPECT_TRUE(table.active().empty());
  EXPECT_FALSE(table.complete("nobody"));
}

TEST_F(EngineTableTest, RestoredEnginesAreActiveAndTheirNumbersTaken) {
  EXPECT_TRUE(table.restore({.id = EngineId{4}, .uuid = "old"}));
  EXPECT_FALSE(table.restore({.id = EngineId{4}, .uuid = "other"}));
  EXPECT_FALSE(table.restore({.id = EngineId{5}, .uuid = "old"}));
  EXPECT_FALSE(table.restore({.id = EngineId{-1}, .uuid = "bad"}));
  EXPECT_FALSE(table.restore({.id = EngineId{6}, .uuid = ""}));
  EXPECT_EQ(table.find("old")->id, EngineId{4});
  EXPECT_EQ(add("new"), EngineId{5});
}

TEST(EngineTableReuse, TheLowestFreeNumberIsGivenWhenThatIsWanted) {
  EngineTable table{{.reuse_ids = true}};
  for (const auto* uuid : {"a", "b", "c"}) {
    ASSERT_TRUE(table.begin(uuid, {}, at_ms(0)));
    table.complete(uuid);
  }
  table.remove(EngineId{1});
  EXPECT_EQ(table.begin("d", {}, at_ms(0)).value(), EngineId{1});
  EXPECT_EQ(table.begin("e", {}, at_ms(0)).value(), EngineId{3});
  table.check_invariants();
}

TEST(EngineTableProperty, AnyOrderOfEventsKeepsTheInvariants) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    EngineTable table{{.registration_timeout = ms(20),
                       .pending_max = 6,
                       .active_max = 12,
                       .lost_max = 4,
                       .reuse_ids = seed % 3 == 0}};
    TimePoint now = at_ms(0);
    for (int i = 0; i < 1000; ++i) {
      const std::string uuid(1, static_cast<char>('a' + rng.below(20)));
      const EngineId id{static_cast<std::int32_t>(rng.below(20))};
      switch (rng.below(7)) {
        case 0:
        case 1:
          (void)table.begin(uuid, rng.below(3) == 0 ? std::optional(id) : std::nullopt, now);
          break;
        case 2:
        case 3:
          table.complete(uuid);
          break;
        case 4:
          table.remove(id);
          break;
        case 5:
          rng.below(2) == 0 ? table.cancel(id) : table.cancel(uuid);
          break;
        default:
          now = now + ms(static_cast<std::int64_t>(rng.below(10)));
          table.take_expired(now);
          EXPECT_GT(table.next_deadline(), now);
      }
      table.check_invariants();
    }
  }
}

}  // namespace
}  // namespace ipf
