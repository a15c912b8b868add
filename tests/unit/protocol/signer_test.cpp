#include "protocol/signer.hpp"

#include <algorithm>
#include <cctype>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::make_signer;
using test::test_key;

/// The message of protocol.md section 3, seen on the wire of the reference.
constexpr SignedParts measured{
    .header = R"({"msg_id": "4af0db32-50a0c18048dd77e493560c8d_29168_0", )"
              R"("msg_type": "registration_request", )"
              R"("username": "username", "session": "4af0db32-50a0c18048dd77e493560c8d", )"
              R"("date": "2026-11-21T01:40:35.193815Z", "version": "5.4"})",
    .parent = "{}",
    .metadata = "{}",
    .content = R"({"uuid": "4af0db32-50a0c18048dd77e493560c8d"})"};
constexpr std::string_view measured_signature =
    "d181c391a7a428d059e2b0a9c9b33fc906c5c25f31a7000dc9f21cc4078f58aa";

TEST(Signer, SignsTheMeasuredMessageAsTheReferenceDoes) {
  const Signer signer = make_signer();
  EXPECT_EQ(signer.sign(measured), measured_signature);
  EXPECT_TRUE(signer.verify(measured_signature, measured));
}

TEST(Signer, FollowsRfc4231WithShortAndOverlongKeys) {
  EXPECT_EQ(make_signer(std::string(20, '\x0b')).sign({.header = "Hi ", .content = "There"}),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(make_signer("Jefe").sign({.header = "what do ya want ", .parent = "for nothing?"}),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(make_signer(std::string(131, '\xaa'))
                .sign({.header = "Test Using Larger Than Block-Size Key - Hash Key First"}),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Signer, OtherDigestsGiveTheirOwnSignatures) {
  EXPECT_EQ(make_signer("Jefe", "hmac-sha512").sign({.header = "what do ya want for nothing?"}),
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
            "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
  EXPECT_EQ(make_signer("Jefe", "hmac-sha1").sign({.content = "what do ya want for nothing?"}),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
  EXPECT_EQ(make_signer("Jefe", "hmac-md5").sign({.metadata = "what do ya want for nothing?"}),
            "750c783e6ab0b503eaa86e310a5db738");
}

TEST(Signer, OtherDigestsVerifyAndRefuse) {
  const Signer signer = make_signer(test_key, "hmac-sha512");
  const std::string signature = signer.sign(measured);
  EXPECT_EQ(signature.size(), 128U);
  EXPECT_TRUE(signer.verify(signature, measured));
  EXPECT_FALSE(signer.verify(measured_signature, measured));
  EXPECT_EQ(signer.sign(measured), signature) << "a second signature must not depend on the first";
}

TEST(Signer, EveryChangedPartChangesTheSignature) {
  for (const std::string scheme : {"hmac-sha256", "hmac-sha384"}) {
    const Signer signer = make_signer(test_key, scheme);
    const std::string signature = signer.sign(measured);
    for (std::string_view SignedParts::* part : {&SignedParts::header, &SignedParts::parent,
                                                 &SignedParts::metadata, &SignedParts::content}) {
      SignedParts changed = measured;
      const std::string text = std::string(changed.*part) + " ";
      changed.*part = text;
      EXPECT_FALSE(signer.verify(signature, changed));
    }
  }
}

TEST(Signer, UpperCaseTruncatedLongerOrEmptySignaturesDoNotVerify) {
  const Signer signer = make_signer();
  std::string upper(measured_signature);
  std::ranges::transform(upper, upper.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  EXPECT_FALSE(signer.verify(upper, measured));
  EXPECT_FALSE(signer.verify(measured_signature.substr(0, 63), measured));
  EXPECT_FALSE(signer.verify(measured_signature.substr(0, 32), measured));
  EXPECT_FALSE(signer.verify(std::string(measured_signature) + "0", measured));
  EXPECT_FALSE(signer.verify(std::string(measured_signature) + std::string(1, '\0'), measured));
  EXPECT_FALSE(signer.verify("", measured));
  EXPECT_FALSE(signer.verify(std::string(64, '0'), measured));
}

TEST(Signer, EachWrongDigitIsSeen) {
  const Signer signer = make_signer();
  for (std::size_t i = 0; i < measured_signature.size(); ++i) {
    std::string wrong(measured_signature);
    wrong[i] = wrong[i] == '0' ? '1' : '0';
    EXPECT_FALSE(signer.verify(wrong, measured)) << i;
  }
}

TEST(Signer, AnotherKeyGivesAnotherSignature) {
  EXPECT_FALSE(make_signer("another key").verify(measured_signature, measured));
}

TEST(Signer, AnEmptyKeyMeansNoSignatureAtAll) {
  for (const std::string scheme : {"hmac-sha256", "hmac-sha512"}) {
    const Signer open = make_signer("", scheme);
    EXPECT_FALSE(open.enabled());
    EXPECT_EQ(open.sign(measured), "");
    EXPECT_TRUE(open.verify("", measured));
    EXPECT_FALSE(open.verify(measured_signature, measured))
        << "a signed message means that the keys differ";
  }
  EXPECT_TRUE(make_signer().enabled());
}

TEST(Signer, UnknownSchemesAreNamed) {
  for (const std::string scheme :
       {"", "sha256", "hmac-", "hmac-nonsense", "HMAC-SHA256", "hmac_sha256"}) {
    const auto signer = Signer::create(test_key, scheme);
    ASSERT_FALSE(signer) << scheme;
    EXPECT_EQ(signer.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(signer.error().message.find("'" + scheme + "'"), std::string::npos);
    EXPECT_FALSE(Signer::create("", scheme)) << "a wrong scheme is an error without a key, too";
  }
}

TEST(Signer, OneSignerServesManyThreads) {
  for (const std::string scheme : {"hmac-sha256", "hmac-sha512"}) {
    const Signer signer = make_signer(test_key, scheme);
    const std::string expected = signer.sign(measured);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 100; ++round) {
          ASSERT_EQ(signer.sign(measured), expected);
        }
      });
    }
  }
}

}  // namespace
}  // namespace ipf
