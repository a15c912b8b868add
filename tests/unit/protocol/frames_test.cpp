#include "protocol/frames.hpp"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "unit/core/core_testing.hpp"
#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::make_frames;
using test::texts_of;

constexpr std::size_t packed_max = Frames::packed_frame_max;

SharedBytes shared_text(const std::shared_ptr<const std::string>& text) {
  return {text, *text};
}

TEST(Frames, NoFramesIsEmpty) {
  EXPECT_TRUE(Frames{}.empty());
  const Frames built = FramesBuilder{}.finish();
  EXPECT_EQ(built.size(), 0U);
  EXPECT_EQ(built.total_bytes(), 0U);
}

TEST(Frames, FramesComeBackInOrderWithTheirBytes) {
  const std::vector<std::string> parts{"",
                                       "a",
                                       std::string("\0b", 2),
                                       "",
                                       std::string(packed_max, 'x'),
                                       std::string(packed_max + 1, 'y'),
                                       "",
                                       std::string(100'000, 'z'),
                                       "end"};
  const Frames frames = make_frames(parts);
  EXPECT_EQ(texts_of(frames), parts);
  std::size_t total = 0;
  for (const auto& part : parts) {
    total += part.size();
  }
  EXPECT_EQ(frames.total_bytes(), total);
  EXPECT_FALSE(frames.empty());
}

TEST(Frames, TheLimitOfPackingIsExact) {
  const Frames frames =
      make_frames({std::string(packed_max, 'x'), std::string(packed_max + 1, 'y')});
  EXPECT_TRUE(frames.is_packed(0));
  EXPECT_FALSE(frames.is_packed(1));
}

TEST(Frames, BehindThePackedBytesAre64ReadableZeros) {
  const Frames frames = make_frames({std::string(5000, 'L'), "first", "last"});
  const std::string_view last = frames[2];
  EXPECT_EQ(std::string(last.data() + last.size(), 64),
            std::string(64, '\0'));  // NOLINT(bugprone-suspicious-stringview-data-usage)
}

TEST(Frames, ALargeFrameThatHasAnOwnerIsNotCopied) {
  const auto owner = std::make_shared<const std::string>(packed_max + 1, 'o');
  FramesBuilder builder;
  builder.add(shared_text(owner));
  const Frames frames = builder.finish();
  EXPECT_EQ(frames[0].data(), owner->data());
  EXPECT_EQ(owner.use_count(), 2);
}

TEST(Frames, ASmallFrameDoesNotHoldItsOwner) {
  const auto owner = std::make_shared<const std::string>(packed_max, 'o');
  FramesBuilder builder;
  builder.add(shared_text(owner));
  const Frames frames = builder.finish();
  EXPECT_NE(frames[0].data(), owner->data());
  EXPECT_EQ(owner.use_count(), 1);
  EXPECT_EQ(frames[0], *owner);
}

TEST(Frames, SharedBytesOutliveTheMessage) {
  SharedBytes small;
  SharedBytes large;
  {
    const Frames frames = make_frames({"small", std::string(packed_max + 1, 'l')});
    small = frames.shared(0);
    large = frames.shared(1);
    EXPECT_EQ(small.bytes.data(), frames[0].data());
    EXPECT_EQ(large.bytes.data(), frames[1].data());
  }
  EXPECT_EQ(small.bytes, "small");
  EXPECT_EQ(large.bytes, std::string(packed_max + 1, 'l'));
}

TEST(Frames, ACopySharesTheBytes) {
  Frames copy;
  const char* place = nullptr;
  {
    const Frames frames = make_frames({"bytes"});
    place = frames[0].data();
    copy = frames;
  }
  EXPECT_EQ(copy[0].data(), place);
  EXPECT_EQ(copy[0], "bytes");
}

TEST(FramesBuilder, TailsOfOtherMessagesAreTakenWithoutCopyingLargeFrames) {
  const Frames source = make_frames({"skipped", "small", std::string(packed_max + 1, 'l'), ""});
  FramesBuilder builder;
  builder.add("first");
  builder.add_from(source, 1);
  const Frames frames = builder.finish();
  EXPECT_EQ(texts_of(frames),
            (std::vector<std::string>{"first", "small", std::string(packed_max + 1, 'l'), ""}));
  EXPECT_EQ(frames[2].data(), source[2].data());
}

TEST(FramesBuilder, ATailBehindTheEndIsEmpty) {
  FramesBuilder builder;
  builder.add_from(make_frames({"a"}), 1);
  builder.add_from(Frames{}, 0);
  EXPECT_EQ(builder.size(), 0U);
}

TEST(FramesBuilder, IsEmptyAfterFinishAndAfterClear) {
  FramesBuilder builder;
  builder.add("a");
  EXPECT_EQ(builder.size(), 1U);
  EXPECT_EQ(builder.finish().size(), 1U);
  EXPECT_EQ(builder.size(), 0U);
  builder.add(std::string(packed_max + 1, 'x'));
  builder.clear();
  builder.add("b");
  const Frames frames = builder.finish();
  EXPECT_EQ(texts_of(frames), std::vector<std::string>{"b"});
  EXPECT_EQ(frames.total_bytes(), 1U);
}

TEST(FramesBuilder, AnyMixOfSizesSurvives) {
  const std::uint64_t seed = test::new_seed();
  SCOPED_TRACE(test::seed_note(seed));
  Rng rng(seed);
  FramesBuilder builder;
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> parts(rng.below(12));
    for (auto& part : parts) {
      part.assign(rng.below(3) == 0 ? packed_max - 2 + rng.below(5) : rng.below(40),
                  static_cast<char>(rng.below(256)));
      if (rng.below(2) == 0) {
        builder.add(part);
      } else {
        builder.add(shared_text(std::make_shared<const std::string>(part)));
      }
    }
    ASSERT_EQ(texts_of(builder.finish()), parts);
  }
}

TEST(Frames, ThousandsOfFramesAreFine) {
  const std::vector<std::string> parts(20'000, "b");
  EXPECT_EQ(texts_of(make_frames(parts)), parts);
}

TEST(Frames, OneMessageMayBeReadAndDroppedByManyThreads) {
  auto frames = std::make_unique<Frames>(make_frames({"a", std::string(packed_max + 1, 'l')}));
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([mine = *frames] {
      EXPECT_EQ(mine[0], "a");
      EXPECT_EQ(mine.shared(1).bytes.size(), packed_max + 1);
    });
  }
  frames.reset();
}

TEST(FramesDeathTest, AnIndexBehindTheEndIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Frames frames = make_frames({"a"});
  EXPECT_DEATH(static_cast<void>(frames[1]), "broken invariant");
}

}  // namespace
}  // namespace ipf
