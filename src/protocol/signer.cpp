// The SHA256_* functions are deprecated in OpenSSL 3, but saving and restoring their state costs
// nothing, which EVP cannot do: 0.37 us instead of 0.63 us (EVP_MAC_CTX_dup) a message.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "protocol/signer.hpp"

#include <utility>
#include <vector>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/sha.h>

#include "core/text.hpp"

namespace ipf {

namespace {

struct MacDeleter {
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};
using MacContext = std::unique_ptr<EVP_MAC_CTX, MacDeleter>;

std::string to_hex(const unsigned char* bytes, std::size_t size) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out(2 * size, '0');
  for (std::size_t i = 0; i < size; ++i) {
    out[2 * i] = digits[bytes[i] >> 4U];
    out[2 * i + 1] = digits[bytes[i] & 15U];
  }
  return out;
}

MacContext make_context(std::string_view key, std::string digest) {
  EVP_MAC* mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  if (mac == nullptr) {
    return nullptr;
  }
  MacContext context{EVP_MAC_CTX_new(mac)};
  EVP_MAC_free(mac);
  const std::array<OSSL_PARAM, 2> params{
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_end()};
  const auto* bytes = reinterpret_cast<const unsigned char*>(key.data());
  if (!context || EVP_MAC_init(context.get(), bytes, key.size(), params.data()) != 1) {
    return nullptr;
  }
  return context;
}

}  // namespace

struct Signer::State {
  bool on{false};
  bool sha256{false};
  SHA256_CTX inner{};
  SHA256_CTX outer{};
  MacContext generic{};

  void use_sha256(std::string_view key) {
    std::array<unsigned char, SHA256_CBLOCK> block{};
    if (key.size() > block.size()) {
      SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), block.data());
    } else {
      std::copy(key.begin(), key.end(), block.begin());
    }
    std::array<unsigned char, SHA256_CBLOCK> inner_pad{};
    std::array<unsigned char, SHA256_CBLOCK> outer_pad{};
    for (std::size_t i = 0; i < block.size(); ++i) {
      inner_pad[i] = block[i] ^ 0x36U;
      outer_pad[i] = block[i] ^ 0x5cU;
    }
    SHA256_Init(&inner);
    SHA256_Update(&inner, inner_pad.data(), inner_pad.size());
    SHA256_Init(&outer);
    SHA256_Update(&outer, outer_pad.data(), outer_pad.size());
    sha256 = true;
  }
};

Signer::Signer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Signer::Signer(Signer&&) noexcept = default;
Signer& Signer::operator=(Signer&&) noexcept = default;
Signer::~Signer() = default;

Result<Signer> Signer::create(std::string_view key, std::string_view scheme) {
  constexpr std::string_view prefix = "hmac-";
  if (!scheme.starts_with(prefix)) {
    return unexpected(ErrorCode::invalid_argument,
                      "signature scheme '" + std::string(scheme) + "' must start with 'hmac-'");
  }
  auto state = std::make_unique<State>();
  state->on = !key.empty();
  const std::string digest(scheme.substr(prefix.size()));
  if (digest == "sha256") {
    state->use_sha256(key);
  } else {
    state->generic = make_context(state->on ? key : "-", digest);
    if (!state->generic) {
      return unexpected(ErrorCode::invalid_argument,
                        "signature scheme '" + std::string(scheme) + "' is not known here");
    }
  }
  return Signer(std::move(state));
}

bool Signer::enabled() const {
  return state_->on;
}

std::string Signer::sign(const SignedParts& parts) const {
  if (!state_->on) {
    return {};
  }
  const std::array<std::string_view, 4> views{parts.header, parts.parent, parts.metadata,
                                              parts.content};
  if (state_->sha256) {
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256_CTX inner = state_->inner;
    for (const auto view : views) {
      SHA256_Update(&inner, view.data(), view.size());
    }
    SHA256_Final(digest.data(), &inner);
    SHA256_CTX outer = state_->outer;
    SHA256_Update(&outer, digest.data(), digest.size());
    SHA256_Final(digest.data(), &outer);
    return to_hex(digest.data(), digest.size());
  }
  const MacContext context{EVP_MAC_CTX_dup(state_->generic.get())};
  std::vector<unsigned char> digest(EVP_MAX_MD_SIZE);
  std::size_t size = 0;
  for (const auto view : views) {
    EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(view.data()), view.size());
  }
  EVP_MAC_final(context.get(), digest.data(), &size, digest.size());
  return to_hex(digest.data(), size);
}

bool Signer::verify(std::string_view signature, const SignedParts& parts) const {
  return equal_constant_time(signature, sign(parts));
}

}  // namespace ipf
