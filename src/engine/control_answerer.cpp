#include "engine/control_answerer.hpp"

#include <csignal>
#include <utility>

#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace ipf::engine {

ControlAnswerer::ControlAnswerer(EngineChannels& channels, Answer answer)
    : channels_(channels), answer_(std::move(answer)) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ControlAnswerer::~ControlAnswerer() {
  channels_.control.close();
  const py::gil_scoped_release no_gil;
  thread_.join();
}

void ControlAnswerer::run() {
  const py::gil_scoped_acquire gil;  // for all its life: Python knows it as one thread
  while (true) {
    std::optional<ControlItem> item;
    {
      const py::gil_scoped_release no_gil;
      item = channels_.control.take();
    }
    if (!item) {
      return;
    }
    channels_.outputs.push(
        ControlAnswered{.token = item->token, .content = answer_(item->message)});
  }
}

}  // namespace ipf::engine
