#pragma once

#include "core/log.hpp"
#include "core/result.hpp"
#include "engine/output_capture.hpp"

namespace ipf::engine {

/// What the engine process knows of its nanny.
struct NannyLink {
  int fd{-1};  ///< pipe to the nanny: who this engine is. -1: there is no nanny
};

/// Splits the process: returns in the child, which becomes the engine, with the link. The parent
/// becomes the nanny and never returns; it ends with the child's exit status, or by the same
/// signal.
///
/// The nanny is small and has no Python. It sees the engine's death at once and tells the hub, when
/// the engine has registered and has not said good-bye itself. SIGTERM, SIGHUP, SIGINT, SIGUSR1 and
/// SIGUSR2 that are sent to it go on to the engine; a Ctrl-C that the terminal has sent to both
/// does not, but a second one within two seconds stops the engine. After SIGTERM the engine has a
/// few seconds, then it is killed. When the nanny is killed, the engine gets SIGTERM.
///
/// Must be called before the process has a second thread.
///
/// `capture`, if not null, holds the engine's output pipes: the nanny copies what a crash left
/// there.
Result<NannyLink> split_nanny(Log& log, OutputCapture* capture);

}  // namespace ipf::engine
