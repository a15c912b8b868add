#pragma once

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "sim/simulation.hpp"

namespace ipf::sim::test {

inline std::uint64_t running_seed = 0;  // NOLINT: read by a signal handler

/// A broken invariant ends the process: say with which seed.
inline void name_seed_on_abort() {
  std::signal(SIGABRT, [](int /*signal*/) {
    std::fprintf(stderr, "reproduce: ipf_sim --seed %llu\n",
                 static_cast<unsigned long long>(running_seed));
    _exit(1);
  });
}

inline SimReport run_seed(const SimOptions& options) {
  running_seed = options.seed;
  return Simulation(options).run();
}

}  // namespace ipf::sim::test
