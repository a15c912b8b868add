#pragma once

#include "net/wakeup.hpp"

namespace ipf::engine {

/// From now on SIGTERM, and SIGHUP unless it is ignored, do nothing but signal `wakeup`, which must
/// live until ignore_termination(). Forked children die of these signals as usual.
///
/// A handler, not a signalfd: a blocked signal would stay blocked in all programs that user code
/// starts, and they could not be terminated. Installed after Python has started, so that Python
/// takes these signals for untouched and user code may install handlers of its own.
void redirect_termination(Wakeup& wakeup);

/// The process is about to end by itself: from now on these signals do nothing.
void ignore_termination();

}  // namespace ipf::engine
