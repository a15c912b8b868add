#include "scheduler/open_requests.hpp"

#include <map>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "unit/core/core_testing.hpp"

namespace ipf {
namespace {

using Opened = OpenRequests::Opened;

TEST(OpenRequests, OnlyTheAskedEngineAnswersAndOnlyOnce) {
  OpenRequests open;
  EXPECT_EQ(open.open("m", "a", 10), Opened::yes);
  EXPECT_FALSE(open.close("m", "b"));
  EXPECT_FALSE(open.close("n", "a"));
  EXPECT_TRUE(open.close("m", "a"));
  EXPECT_FALSE(open.close("m", "a"));
  EXPECT_EQ(open.count(), 0U);
  EXPECT_EQ(open.bytes(), 0U);
}

TEST(OpenRequests, AMsgIdIsOpenOnce) {
  OpenRequests open;
  open.open("m", "a", 1);
  EXPECT_EQ(open.open("m", "b", 1), Opened::is_open);
  EXPECT_TRUE(open.is_open("m"));
  open.close("m", "a");
  EXPECT_FALSE(open.is_open("m"));
  EXPECT_EQ(open.open("m", "b", 1), Opened::yes);
}

TEST(OpenRequests, CountAndBytesAreBounded) {
  OpenRequests open({.count_max = 2, .bytes_max = 100});
  EXPECT_EQ(open.open("big", "a", 101), Opened::no_room);
  EXPECT_EQ(open.open("m", "a", 60), Opened::yes);
  EXPECT_EQ(open.open("n", "b", 50), Opened::no_room);
  EXPECT_EQ(open.open("n", "b", 40), Opened::yes);
  EXPECT_EQ(open.open("o", "a", 0), Opened::no_room);
  open.forget("a");
  EXPECT_EQ(open.open("o", "a", 60), Opened::yes);
}

TEST(OpenRequests, AForgottenEngineFreesItsOwnOnly) {
  OpenRequests open;
  open.open("m1", "a", 1);
  open.open("m2", "a", 2);
  open.open("m3", "b", 4);
  open.forget("a");
  open.forget("never seen");
  EXPECT_EQ(open.bytes(), 4U);
  EXPECT_FALSE(open.close("m1", "a"));
  EXPECT_TRUE(open.close("m3", "b"));
}

TEST(OpenRequestsProperty, ActsAsAMapDoes) {
  const std::uint64_t seed = test::new_seed();
  SCOPED_TRACE(test::seed_note(seed));
  Rng rng(seed);
  OpenRequests open({.count_max = 30, .bytes_max = 2000});
  std::map<std::string, std::pair<std::string, std::size_t>> model;
  for (int step = 0; step < 5000; ++step) {
    const std::string id = "m" + std::to_string(rng.below(60));
    const std::string engine = "e" + std::to_string(rng.below(4));
    const auto found = model.find(id);
    std::size_t bytes = 0;
    for (const auto& [key, entry] : model) {
      bytes += entry.second;
    }
    switch (rng.below(8)) {
      case 0:
        open.forget(engine);
        std::erase_if(model, [&](const auto& entry) { return entry.second.first == engine; });
        break;
      case 1:
      case 2:
      case 3: {
        const bool here = found != model.end() && found->second.first == engine;
        ASSERT_EQ(open.close(id, engine), here);
        if (here) {
          model.erase(found);
        }
        break;
      }
      default: {
        const std::size_t size = rng.below(150);
        const auto expected = found != model.end()                        ? Opened::is_open
                              : model.size() >= 30 || bytes + size > 2000 ? Opened::no_room
                                                                          : Opened::yes;
        ASSERT_EQ(open.open(id, engine, size), expected);
        if (expected == Opened::yes) {
          model[id] = {engine, size};
        }
      }
    }
    open.check_invariants();
    ASSERT_EQ(open.count(), model.size());
  }
}

}  // namespace
}  // namespace ipf
