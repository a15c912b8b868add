#include "protocol/curve.hpp"

#include <algorithm>
#include <cstring>
#include <sodium.h>
#include <utility>

#include "core/check.hpp"

namespace ipf {

namespace {

constexpr std::size_t key_bytes = crypto_box_PUBLICKEYBYTES;
constexpr std::size_t mac_bytes = crypto_box_MACBYTES;
constexpr std::string_view hello_name{"\5HELLO"};
constexpr std::string_view welcome_name{"\7WELCOME"};
constexpr std::string_view initiate_name{"\10INITIATE"};
constexpr std::string_view ready_name{"\5READY"};
constexpr std::string_view message_name{"\7MESSAGE"};
constexpr std::size_t short_nonce = 8;
constexpr std::size_t long_nonce = 16;
constexpr std::size_t cookie_bytes = long_nonce + 2 * key_bytes + mac_bytes;
constexpr std::size_t vouch_bytes = long_nonce + 2 * key_bytes + mac_bytes;
constexpr std::size_t hello_bytes = 200;
constexpr std::size_t hello_padding = 72;

constexpr std::string_view z85_alphabet =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

using Nonce = std::array<unsigned char, 24>;

unsigned char* raw(char* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}
const unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
template <std::size_t Size>
std::string_view text(const std::array<unsigned char, Size>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), Size};
}

/// The text of a nonce, then its changing part.
Nonce nonce_of(std::string_view prefix, std::string_view rest) {
  Nonce out{};
  IPF_CHECK(prefix.size() + rest.size() == out.size());
  std::copy(prefix.begin(), prefix.end(), out.begin());
  std::copy(rest.begin(), rest.end(), out.begin() + static_cast<std::ptrdiff_t>(prefix.size()));
  return out;
}

std::string number_text(std::uint64_t number) {
  std::string out(short_nonce, '\0');
  for (std::size_t i = short_nonce; i-- > 0; number >>= 8U) {
    out[i] = static_cast<char>(number & 0xffU);
  }
  return out;
}

std::uint64_t number_of(std::string_view bytes) {
  std::uint64_t out = 0;
  for (const char byte : bytes.substr(0, short_nonce)) {
    out = out << 8U | static_cast<unsigned char>(byte);
  }
  return out;
}

std::string random_bytes(std::size_t count) {
  std::string out(count, '\0');
  randombytes_buf(out.data(), count);
  return out;
}

std::string box(std::string_view plain,
                const Nonce& nonce,
                std::string_view public_key,
                std::string_view secret_key) {
  std::string out(plain.size() + mac_bytes, '\0');
  const int failed = crypto_box_easy(raw(out.data()), raw(plain), plain.size(), nonce.data(),
                                     raw(public_key), raw(secret_key));
  // Fails for a public key of small order only, which makes a box that nobody can open.
  return failed == 0 ? out : std::string();
}

std::optional<std::string> open_box(std::string_view cipher,
                                    const Nonce& nonce,
                                    std::string_view public_key,
                                    std::string_view secret_key) {
  if (cipher.size() < mac_bytes) {
    return std::nullopt;
  }
  std::string out(cipher.size() - mac_bytes, '\0');
  if (crypto_box_open_easy(raw(out.data()), raw(cipher), cipher.size(), nonce.data(),
                           raw(public_key), raw(secret_key)) != 0) {
    return std::nullopt;
  }
  return out;
}

Unexpected violation(std::string_view what) {
  return unexpected(ErrorCode::malformed, "CURVE: " + std::string(what));
}

Result<std::string> raw_key(std::string_view key, std::string_view what) {
  auto out = z85_decode(key);
  if (!out || out->size() != key_bytes) {
    return unexpected(ErrorCode::invalid_argument,
                      "the CURVE " + std::string(what) + " is not 40 characters of Z85");
  }
  return std::move(*out);
}

Result<CurveOptions> own_keys(const CurveKeyPair& own) {
  auto secret = raw_key(own.secret_key, "secret key");
  if (!secret) {
    return unexpected(secret.error());
  }
  auto given = raw_key(own.public_key, "public key");
  if (!given) {
    return unexpected(given.error());
  }
  std::string derived(key_bytes, '\0');
  crypto_scalarmult_base(raw(derived.data()), raw(*secret));
  if (derived != *given) {
    return unexpected(ErrorCode::invalid_argument,
                      "the CURVE public key does not belong to the secret key");
  }
  return CurveOptions{.public_key = std::move(*given), .secret_key = std::move(*secret)};
}

}  // namespace

std::string z85_encode(std::string_view bytes) {
  IPF_CHECK(bytes.size() % 4 == 0);
  std::string out;
  for (; !bytes.empty(); bytes.remove_prefix(4)) {
    std::uint32_t value = 0;
    for (const char byte : bytes.substr(0, 4)) {
      value = value << 8U | static_cast<unsigned char>(byte);
    }
    for (std::uint32_t divisor = 85 * 85 * 85 * 85; divisor > 0; divisor /= 85) {
      out += z85_alphabet[value / divisor % 85];
    }
  }
  return out;
}

std::optional<std::string> z85_decode(std::string_view encoded) {
  if (encoded.size() % 5 != 0) {
    return std::nullopt;
  }
  std::string out;
  for (; !encoded.empty(); encoded.remove_prefix(5)) {
    std::uint64_t value = 0;
    for (const char c : encoded.substr(0, 5)) {
      const std::size_t digit = c == '\0' ? std::string_view::npos : z85_alphabet.find(c);
      if (digit == std::string_view::npos) {
        return std::nullopt;
      }
      value = value * 85 + digit;
    }
    if (value > UINT32_MAX) {
      return std::nullopt;
    }
    for (unsigned i = 4; i-- > 0;) {
      out += static_cast<char>(value >> (8U * i) & 0xffU);
    }
  }
  return out;
}

CurveKeyPair make_curve_key_pair() {
  std::string public_key(key_bytes, '\0');
  std::string secret_key(key_bytes, '\0');
  IPF_CHECK(sodium_init() >= 0);
  crypto_box_keypair(raw(public_key.data()), raw(secret_key.data()));
  return {z85_encode(public_key), z85_encode(secret_key)};
}

Result<std::string> curve_public_key(std::string_view secret_key) {
  const auto secret = raw_key(secret_key, "secret key");
  if (!secret) {
    return unexpected(secret.error());
  }
  std::string out(key_bytes, '\0');
  crypto_scalarmult_base(raw(out.data()), raw(*secret));
  return z85_encode(out);
}

Result<CurvePtr> curve_server(const CurveKeyPair& own) {
  auto options = own_keys(own);
  if (!options) {
    return unexpected(options.error());
  }
  options->server = true;
  return CurvePtr(std::make_shared<const CurveOptions>(std::move(*options)));
}

Result<CurvePtr> curve_client(const CurveKeyPair& own, std::string_view server_key) {
  auto options = own_keys(own);
  if (!options) {
    return unexpected(options.error());
  }
  auto server = raw_key(server_key, "server key");
  if (!server) {
    return unexpected(server.error());
  }
  options->server_key = std::move(*server);
  return CurvePtr(std::make_shared<const CurveOptions>(std::move(*options)));
}

Result<CurveKeyPair> complete_pair(CurveKeyPair given) {
  if (given.public_key.empty()) {
    auto derived = curve_public_key(given.secret_key);
    if (!derived) {
      return unexpected(derived.error());
    }
    given.public_key = std::move(*derived);
  }
  if (const auto keys = own_keys(given); !keys) {
    return unexpected(keys.error());
  }
  return given;
}

Result<CurvePtr> curve_peer(const CurveKeyPair& own, const std::optional<std::string>& server_key) {
  if (!server_key || server_key->empty()) {
    return CurvePtr();
  }
  if (own.secret_key.empty()) {
    const std::string& key = *server_key;
    return curve_client(make_curve_key_pair(), key);
  }
  auto pair = complete_pair(own);
  return pair ? curve_client(*pair, *server_key) : unexpected(pair.error());
}

// ---- CurveSession -------------------------------------------------------------------------------

CurveSession::CurveSession(CurvePtr options)
    : options_(std::move(options)), stage_(options_->server ? Stage::hello : Stage::welcome) {
  IPF_CHECK(sodium_init() >= 0);
  crypto_box_keypair(own_public_.data(), own_secret_.data());
}

CurveSession::~CurveSession() {
  for (Key* key : {&own_secret_, &shared_, &cookie_key_}) {
    sodium_memzero(key->data(), key->size());
  }
}

std::string CurveSession::hello() {
  const std::string number = number_text(++sent_);
  std::string out(hello_name);
  out += std::string_view("\1\0", 2);  // version
  out.append(hello_padding, '\0');     // as large as the answer: nothing to amplify
  out += text(own_public_);
  out += number;
  out += box(std::string(2 * key_bytes, '\0'), nonce_of("CurveZMQHELLO---", number),
             options_->server_key, text(own_secret_));
  return out;
}

Result<CurveSession::Step> CurveSession::take(std::string_view body,
                                              std::string_view own_metadata) {
  if (body.starts_with("\5ERROR")) {
    return violation("the peer refuses the connection");
  }
  switch (stage_) {
    case Stage::hello:
      return take_hello(body);
    case Stage::welcome:
      return take_welcome(body, own_metadata);
    case Stage::initiate:
      return take_initiate(body, own_metadata);
    case Stage::ready:
      return take_ready(body);
    case Stage::open:
      break;
  }
  return violation("a command of the handshake after its end");
}

Result<CurveSession::Step> CurveSession::take_hello(std::string_view body) {
  if (body.size() != hello_bytes || !body.starts_with(hello_name) || body[6] != 1) {
    return violation("this is no HELLO");
  }
  constexpr std::size_t key_at = 8 + hello_padding;
  const std::string_view number = body.substr(key_at + key_bytes, short_nonce);
  std::ranges::copy(body.substr(key_at, key_bytes), peer_public_.begin());
  if (!open_box(body.substr(key_at + key_bytes + short_nonce), nonce_of("CurveZMQHELLO---", number),
                text(peer_public_), options_->secret_key)) {
    return violation("the client has the wrong server key");
  }
  received_ = number_of(number);
  randombytes_buf(cookie_key_.data(), cookie_key_.size());
  const std::string cookie_nonce = random_bytes(long_nonce);
  const std::string secrets = std::string(text(peer_public_)) + std::string(text(own_secret_));
  std::string cookie(secrets.size() + mac_bytes, '\0');
  crypto_secretbox_easy(raw(cookie.data()), raw(secrets), secrets.size(),
                        nonce_of("COOKIE--", cookie_nonce).data(), cookie_key_.data());
  const std::string nonce = random_bytes(long_nonce);
  const std::string welcome =
      box(std::string(text(own_public_)) + cookie_nonce + cookie, nonce_of("WELCOME-", nonce),
          text(peer_public_), options_->secret_key);
  stage_ = Stage::initiate;
  return Step{.answer = std::string(welcome_name) + nonce + welcome};
}

Result<CurveSession::Step> CurveSession::take_welcome(std::string_view body,
                                                      std::string_view own_metadata) {
  if (!body.starts_with(welcome_name) ||
      body.size() != welcome_name.size() + long_nonce + key_bytes + cookie_bytes + mac_bytes) {
    return violation("this is no WELCOME");
  }
  body.remove_prefix(welcome_name.size());
  const auto opened =
      open_box(body.substr(long_nonce), nonce_of("WELCOME-", body.substr(0, long_nonce)),
               options_->server_key, text(own_secret_));
  if (!opened) {
    return violation("the server does not have the key of the connection file");
  }
  std::copy_n(opened->begin(), key_bytes, peer_public_.begin());
  agree_on_session_key();
  const std::string vouch_nonce = random_bytes(long_nonce);
  const std::string vouch =
      box(std::string(text(own_public_)) + options_->server_key, nonce_of("VOUCH---", vouch_nonce),
          text(peer_public_), options_->secret_key);
  const std::string number = number_text(++sent_);
  std::string out(initiate_name);
  out += std::string_view(*opened).substr(key_bytes);  // the cookie
  out += number;
  out += box(options_->public_key + vouch_nonce + vouch + std::string(own_metadata),
             nonce_of("CurveZMQINITIATE", number), text(peer_public_), text(own_secret_));
  stage_ = Stage::ready;
  return Step{.answer = std::move(out)};
}

Result<CurveSession::Step> CurveSession::take_initiate(std::string_view body,
                                                       std::string_view own_metadata) {
  constexpr std::size_t fixed = key_bytes + vouch_bytes;
  if (!body.starts_with(initiate_name) ||
      body.size() < initiate_name.size() + cookie_bytes + short_nonce + mac_bytes + fixed) {
    return violation("this is no INITIATE");
  }
  body.remove_prefix(initiate_name.size());
  const std::string_view cookie = body.substr(0, cookie_bytes);
  std::string secrets(2 * key_bytes, '\0');
  const bool ours =
      crypto_secretbox_open_easy(
          raw(secrets.data()), raw(cookie.substr(long_nonce)), cookie_bytes - long_nonce,
          nonce_of("COOKIE--", cookie.substr(0, long_nonce)).data(), cookie_key_.data()) == 0;
  if (!ours || secrets != std::string(text(peer_public_)) + std::string(text(own_secret_))) {
    return violation("the cookie is not ours");
  }
  const std::string_view number = body.substr(cookie_bytes, short_nonce);
  const auto opened =
      open_box(body.substr(cookie_bytes + short_nonce), nonce_of("CurveZMQINITIATE", number),
               text(peer_public_), text(own_secret_));
  if (!opened || number_of(number) <= received_) {
    return violation("an INITIATE that cannot be opened");
  }
  received_ = number_of(number);
  const std::string_view client_key = std::string_view(*opened).substr(0, key_bytes);
  const std::string_view vouch = std::string_view(*opened).substr(key_bytes, vouch_bytes);
  const auto vouched =
      open_box(vouch.substr(long_nonce), nonce_of("VOUCH---", vouch.substr(0, long_nonce)),
               client_key, text(own_secret_));
  if (!vouched || *vouched != std::string(text(peer_public_)) + options_->public_key) {
    return violation("the voucher is not for this connection");
  }
  agree_on_session_key();
  const std::string own_number = number_text(++sent_);
  stage_ = Stage::open;
  return Step{.answer = std::string(ready_name) + own_number +
                        box(own_metadata, nonce_of("CurveZMQREADY---", own_number),
                            text(peer_public_), text(own_secret_)),
              .metadata = opened->substr(fixed)};
}

Result<CurveSession::Step> CurveSession::take_ready(std::string_view body) {
  if (!body.starts_with(ready_name) || body.size() < ready_name.size() + short_nonce + mac_bytes) {
    return violation("this is no READY");
  }
  body.remove_prefix(ready_name.size());
  const std::string_view number = body.substr(0, short_nonce);
  auto metadata = open_box(body.substr(short_nonce), nonce_of("CurveZMQREADY---", number),
                           text(peer_public_), text(own_secret_));
  if (!metadata) {
    return violation("a READY that cannot be opened");
  }
  received_ = number_of(number);
  stage_ = Stage::open;
  return Step{.metadata = std::move(metadata)};
}

void CurveSession::agree_on_session_key() {
  [[maybe_unused]] const int weak =
      crypto_box_beforenm(shared_.data(), peer_public_.data(), own_secret_.data());
}

void CurveSession::seal(std::string_view payload, unsigned char flags, std::span<char> body) {
  IPF_CHECK(stage_ == Stage::open && body.size() == payload.size() + overhead);
  const std::string number = number_text(++sent_);
  std::ranges::copy(message_name, body.begin());
  std::ranges::copy(number, body.begin() + message_name.size());
  char* const plain = body.data() + overhead - 1;
  *plain = static_cast<char>(flags);
  std::ranges::copy(payload, plain + 1);
  const Nonce nonce = nonce_of(options_->server ? "CurveZMQMESSAGES" : "CurveZMQMESSAGEC", number);
  crypto_box_detached_afternm(raw(plain), raw(plain - mac_bytes), raw(plain), payload.size() + 1,
                              nonce.data(), shared_.data());
}

Result<unsigned char> CurveSession::open(std::span<char> body) {
  const std::string_view all(body.data(), body.size());
  if (stage_ != Stage::open || all.size() < overhead || !all.starts_with(message_name)) {
    return violation("this is no MESSAGE");
  }
  const std::string_view number = all.substr(message_name.size(), short_nonce);
  if (number_of(number) <= received_) {
    return violation("a MESSAGE came again");
  }
  const Nonce nonce = nonce_of(options_->server ? "CurveZMQMESSAGEC" : "CurveZMQMESSAGES", number);
  char* const cipher = body.data() + overhead - 1;
  if (crypto_box_open_detached_afternm(raw(cipher), raw(cipher), raw(cipher - mac_bytes),
                                       all.size() - overhead + 1, nonce.data(),
                                       shared_.data()) != 0) {
    return violation("a MESSAGE that cannot be opened");
  }
  received_ = number_of(number);
  return static_cast<unsigned char>(*cipher);
}

}  // namespace ipf
