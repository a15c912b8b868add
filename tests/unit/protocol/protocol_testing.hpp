#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/json_text.hpp"
#include "protocol/message.hpp"
#include "protocol/signer.hpp"

/// Builders for frames and messages; the scheduler's and controller's tests use them too.
namespace ipf::test {

inline constexpr std::string_view test_key = "761fca17-e3e69a360f7f8ca9e86386d4";

inline Signer make_signer(std::string_view key = test_key,
                          std::string_view scheme = "hmac-sha256") {
  auto signer = Signer::create(key, scheme);
  EXPECT_TRUE(signer) << (signer ? "" : signer.error().message);
  return std::move(*signer);
}

inline Frames make_frames(const std::vector<std::string>& parts) {
  FramesBuilder builder;
  for (const auto& part : parts) {
    builder.add(part);
  }
  return builder.finish();
}

inline std::vector<std::string> texts_of(const Frames& frames) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    out.emplace_back(frames[i]);
  }
  return out;
}

struct WireParts {
  std::vector<std::string> identities{};
  std::string header{R"({"msg_id": "m1", "msg_type": "apply_request"})"};
  std::string parent{"{}"};
  std::string metadata{"{}"};
  std::string content{"{}"};
  std::vector<std::string> buffers{};
};

inline std::string signature_of(const WireParts& parts, const Signer& signer) {
  return signer.sign({.header = parts.header,
                      .parent = parts.parent,
                      .metadata = parts.metadata,
                      .content = parts.content});
}

/// The frames on the wire, one string each.
inline std::vector<std::string> wire_texts(const WireParts& parts, const Signer& signer) {
  std::vector<std::string> out = parts.identities;
  out.emplace_back(delimiter);
  out.push_back(signature_of(parts, signer));
  out.insert(out.end(), {parts.header, parts.parent, parts.metadata, parts.content});
  out.insert(out.end(), parts.buffers.begin(), parts.buffers.end());
  return out;
}

inline Frames wire_frames(const WireParts& parts, const Signer& signer) {
  return make_frames(wire_texts(parts, signer));
}

/// A message whose signature nobody will check.
inline Message unsigned_message(const WireParts& parts) {
  auto message = Message::split(wire_frames(parts, make_signer("")));
  EXPECT_TRUE(message);
  return std::move(*message);
}

inline Json json_of(std::string_view text) {
  auto value = parse_json(text);
  EXPECT_TRUE(value) << text;
  return value ? std::move(*value) : Json();
}

}  // namespace ipf::test
