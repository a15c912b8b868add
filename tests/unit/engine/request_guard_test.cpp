#include "engine/request_guard.hpp"

#include <cstddef>
#include <string>

#include <gtest/gtest.h>

namespace ipf::engine {
namespace {

Signer signer_of(const std::string& key) {
  return Signer::create(key).value();
}

Message request(const std::string& header, const Signer& signer) {
  FramesBuilder builder;
  builder.add(delimiter);
  builder.add(signer.sign({.header = header, .parent = "{}", .metadata = "{}", .content = "{}"}));
  builder.add(header);
  for (int i = 0; i < 3; ++i) {
    builder.add(std::string_view("{}"));
  }
  return Message::split(builder.finish()).value();
}

TEST(RequestGuardTest, AnotherKeyHidesNothing) {
  RequestGuard guard;
  EXPECT_TRUE(guard.first_sight(request("a", signer_of("old"))));
  guard.remember_key(signer_of("old"));
  const Signer now = signer_of("new");
  EXPECT_FALSE(guard.first_sight(request("a", now))) << "asked again under the new key";
  EXPECT_TRUE(guard.first_sight(request("b", now)));
  EXPECT_FALSE(guard.first_sight(request("b", now)));
}

TEST(RequestGuardTest, WhatIsForgottenMayComeUnderEitherKey) {
  RequestGuard guard;
  EXPECT_TRUE(guard.first_sight(request("a", signer_of("old"))));
  guard.remember_key(signer_of("old"));
  const Message again = request("a", signer_of("new"));
  guard.forget(again);
  EXPECT_TRUE(guard.first_sight(again));
  EXPECT_FALSE(guard.first_sight(again));
}

TEST(RequestGuardTest, OldKeysAreForgottenAtLast) {
  RequestGuard guard;
  EXPECT_TRUE(guard.first_sight(request("a", signer_of("0"))));
  EXPECT_TRUE(guard.first_sight(request("b", signer_of("0"))));
  for (std::size_t i = 0; i < RequestGuard::old_keys_max; ++i) {
    guard.remember_key(signer_of(std::to_string(i)));
  }
  EXPECT_FALSE(guard.first_sight(request("a", signer_of("now"))));
  guard.remember_key(signer_of("more"));
  EXPECT_TRUE(guard.first_sight(request("b", signer_of("later"))));
  EXPECT_FALSE(guard.first_sight(request("a", signer_of("later")))) << "seen lately";
}

}  // namespace
}  // namespace ipf::engine
