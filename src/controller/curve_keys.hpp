#pragma once

#include "controller/controller.hpp"
#include "core/result.hpp"
#include "protocol/curve.hpp"

namespace ipf {

/// The pair of keys of a controller that encrypts: the one it was given, with reuse or restore the
/// one that the last run left in `security/ipcontroller[-<id>]-curve.key` (secret key, mode 0600;
/// written if it is not there or new keys are wanted), else a fresh one. Peers know the public key
/// from their files, so without the old one nobody who is waiting could come back.
Result<CurveKeyPair> controller_curve_keys(const ControllerOptions& options);

}  // namespace ipf
