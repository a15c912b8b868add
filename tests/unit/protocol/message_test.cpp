#include "protocol/message.hpp"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/json_text.hpp"
#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::make_frames;
using test::make_signer;
using test::wire_frames;
using test::wire_texts;
using test::WireParts;

const std::string delim{delimiter};

ErrorCode split_error(const std::vector<std::string>& frames) {
  const auto message = Message::split(make_frames(frames));
  EXPECT_FALSE(message);
  return message ? ErrorCode::closed : message.error().code;
}

TEST(Message, PartsAreFoundBehindAnyNumberOfIdentities) {
  const Signer signer = make_signer();
  for (std::size_t identities = 0; identities < 4; ++identities) {
    const WireParts parts{.identities = std::vector<std::string>(identities, "id"),
                          .header = "{\"h\": 1}",
                          .parent = "{\"p\": 1}",
                          .metadata = "{\"m\": 1}",
                          .content = "{\"c\": 1}",
                          .buffers = {"b0", "", "b2"}};
    const auto message = Message::split(wire_frames(parts, signer));
    ASSERT_TRUE(message);
    EXPECT_EQ(message->identity_count(), identities);
    EXPECT_EQ(message->signature(), test::signature_of(parts, signer));
    EXPECT_EQ(message->header(), parts.header);
    EXPECT_EQ(message->parent(), parts.parent);
    EXPECT_EQ(message->metadata(), parts.metadata);
    EXPECT_EQ(message->content(), parts.content);
    ASSERT_EQ(message->buffer_count(), 3U);
    EXPECT_EQ(message->buffer(0), "b0");
    EXPECT_EQ(message->buffer(1), "");
    EXPECT_EQ(message->buffer(2), "b2");
  }
}

TEST(Message, SignedAnewItIsTheSameWithAnotherSignature) {
  const Signer signer = make_signer();
  const WireParts parts{.identities = {"id"},
                        .header = "{\"h\": 1}",
                        .metadata = "{\"m\": 1}",
                        .content = "{}",
                        .buffers = {"b0", "b1"}};
  const auto first = Message::split(wire_frames(parts, signer));
  ASSERT_TRUE(first);
  std::set<std::string> signatures{std::string(first->signature())};
  for (std::uint64_t number = 0; number < 20; ++number) {
    const Message again = signed_anew(*first, signer, number);
    EXPECT_TRUE(signatures.emplace(again.signature()).second) << number;
    ASSERT_TRUE(verify_message(again.frames(), signer)) << number;
    EXPECT_EQ(*parse_json(again.metadata()), *parse_json(parts.metadata));
    EXPECT_EQ(again.header(), parts.header);
    EXPECT_EQ(again.identity(0), "id");
    ASSERT_EQ(again.buffer_count(), 2U);
    EXPECT_EQ(again.buffer(1), "b1");
  }
}

TEST(Message, SignedByAnotherKeyOnlyItsSignatureChanges) {
  const Signer other = Signer::create("another key").value();
  const WireParts parts{.identities = {"id"}, .header = "{\"h\": 1}", .buffers = {"b0"}};
  const auto first = Message::split(wire_frames(parts, make_signer()));
  ASSERT_TRUE(first);
  const Message again = signed_by(*first, other);
  ASSERT_TRUE(verify_message(again.frames(), other));
  EXPECT_EQ(signed_by(again, make_signer()).signature(), first->signature());
  EXPECT_EQ(again.header(), parts.header);
  EXPECT_EQ(again.identity(0), "id");
  EXPECT_EQ(again.buffer(0), "b0");
}

TEST(Message, TheFirstDelimiterCounts) {
  WireParts parts{.identities = {"id"}, .buffers = {delim, "x", "x", "x", "x", "x"}};
  const auto message = Message::split(wire_frames(parts, make_signer()));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->identity_count(), 1U);
  EXPECT_EQ(message->buffer_count(), 6U);
}

TEST(Message, ADelimiterWithTooFewFramesBehindItIsNotSkipped) {
  // A later delimiter with enough frames must not rescue the message: identities would be forged.
  EXPECT_EQ(split_error({"id", delim, "s", "h", delim}), ErrorCode::malformed);
}

TEST(Message, MalformedShapesAreRefused) {
  const std::vector<std::vector<std::string>> shapes{
      {},
      {""},
      {delim},
      {"a", "b", "c", "d", "e", "f", "g"},
      {delim, "s"},
      {delim, "s", "h", "p", "m"},
      {"id", delim, "s", "h", "p", "m"},
      {"<IDS|MSG", "s", "h", "p", "m", "c"},
      {"<IDS|MSG>>", "s", "h", "p", "m", "c"},
      {"<ids|msg>", "s", "h", "p", "m", "c"},
      {delim + std::string(1, '\0'), "s", "h", "p", "m", "c"},
  };
  for (const auto& shape : shapes) {
    EXPECT_EQ(split_error(shape), ErrorCode::malformed);
  }
}

TEST(Message, FiveFramesBehindTheDelimiterAreEnough) {
  const auto message = Message::split(make_frames({delim, "", "", "", "", ""}));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->buffer_count(), 0U);
  EXPECT_EQ(message->content(), "");
}

TEST(VerifyMessage, ARightSignatureIsTaken) {
  const Signer signer = make_signer();
  const auto message =
      verify_message(wire_frames({.identities = {"c"}, .content = "{\"a\": 1}"}, signer), signer);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->content(), "{\"a\": 1}");
}

TEST(VerifyMessage, ChangedSignedFramesAreRefused) {
  const Signer signer = make_signer();
  const std::vector<std::string> good = wire_texts({.identities = {"c"}, .buffers = {"b"}}, signer);
  for (std::size_t frame = 2; frame < 7; ++frame) {  // signature, header, parent, metadata, content
    std::vector<std::string> bad = good;
    bad[frame].back() = bad[frame].back() == '0' ? '1' : '0';
    const auto message = verify_message(make_frames(bad), signer);
    ASSERT_FALSE(message) << frame;
    EXPECT_EQ(message.error().code, ErrorCode::bad_signature);
  }
}

TEST(VerifyMessage, ShiftedFrameBordersHaveTheSameSignature) {
  // HMAC runs over the joined frames, as in the reference: only the JSON reader sees the shift.
  const Signer signer = make_signer();
  std::vector<std::string> shifted = wire_texts({}, signer);
  shifted[2] += shifted[3];
  shifted[3].clear();
  EXPECT_TRUE(verify_message(make_frames(shifted), signer));
}

TEST(VerifyMessage, IdentitiesAndBuffersAreNotSigned) {
  const Signer signer = make_signer();
  std::vector<std::string> frames = wire_texts({.identities = {"c"}, .buffers = {"b"}}, signer);
  frames.front() = "other";
  frames.back() = "other";
  EXPECT_TRUE(verify_message(make_frames(frames), signer));
}

TEST(VerifyMessage, AMissingSignatureIsRefusedUnlessThereIsNoKey) {
  const WireParts parts{};
  const Frames bare = wire_frames(parts, make_signer(""));
  const auto refused = verify_message(bare, make_signer());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), (Error{ErrorCode::bad_signature, "no signature"}));
  EXPECT_TRUE(verify_message(bare, make_signer("")));
  const auto foreign = verify_message(wire_frames(parts, make_signer()), make_signer(""));
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, ErrorCode::bad_signature);
}

TEST(VerifyMessage, OverlongHeadersAreRefusedBeforeTheSignatureCostsAnything) {
  const Signer signer = make_signer();
  const auto code = [&](const WireParts& parts) {
    const auto message = verify_message(wire_frames(parts, make_signer("wrong key")), signer);
    return message ? ErrorCode::closed : message.error().code;
  };
  EXPECT_EQ(code({.header = std::string(header_bytes_max + 1, ' ')}), ErrorCode::too_large);
  EXPECT_EQ(code({.parent = std::string(header_bytes_max + 1, ' ')}), ErrorCode::too_large);
  EXPECT_EQ(code({.metadata = std::string(metadata_bytes_max + 1, ' ')}), ErrorCode::too_large);
  EXPECT_EQ(code({.header = std::string(header_bytes_max, ' ')}), ErrorCode::bad_signature);
  EXPECT_TRUE(verify_message(
      wire_frames({.content = std::string(metadata_bytes_max + 1, ' ')}, signer), signer));
}

TEST(AcceptMessage, TheSecondSightIsAReplay) {
  const Signer signer = make_signer();
  ReplayGuard guard;
  const Frames frames = wire_frames({}, signer);
  EXPECT_TRUE(accept_message(frames, signer, guard));
  const auto again = accept_message(frames, signer, guard);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::replayed);
}

TEST(AcceptMessage, AWrongSignatureDoesNotBlockTheRightMessage) {
  const Signer signer = make_signer();
  ReplayGuard guard;
  const std::vector<std::string> good = wire_texts({}, signer);
  std::vector<std::string> forged =
      good;  // somebody saw the signature and sends it with other content first
  forged[5] = "{\"evil\": 1}";
  EXPECT_FALSE(accept_message(make_frames(forged), signer, guard));
  EXPECT_TRUE(accept_message(make_frames(good), signer, guard));
}

TEST(AcceptMessage, MalformedFramesKeepTheirOwnError) {
  ReplayGuard guard;
  const auto message = accept_message(make_frames({"x"}), make_signer(), guard);
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().code, ErrorCode::malformed);
}

TEST(AcceptMessage, WithAnOldKeyDatesFromBeforeItsTimeAreRefused) {
  Signer signer = make_signer();
  WallTime start;
  ASSERT_TRUE(parse_iso("2026-11-21T10:00:00Z", start));
  signer.refuse_before(start);
  const auto accepted = [&](const std::string& date) {
    ReplayGuard guard;
    const std::string header = R"({"msg_id": "m", "msg_type": "t", "date": )" + date + "}";
    return accept_message(wire_frames({.header = header}, signer), signer, guard).has_value();
  };
  EXPECT_TRUE(accepted(R"("2026-11-21T10:00:00Z")"));
  EXPECT_TRUE(accepted(R"("2026-11-21T11:30:00.5+01:00")"));
  EXPECT_FALSE(accepted(R"("2026-11-21T09:59:59.999999Z")"));
  EXPECT_FALSE(accepted(R"("2026-11-21T10:30:00+01:00")"));
  EXPECT_FALSE(accepted("5"));
  EXPECT_FALSE(accepted(R"("yesterday")"));
  EXPECT_TRUE(verify_message(wire_frames({}, signer), signer)) << "replies have no such rule";
}

}  // namespace
}  // namespace ipf
