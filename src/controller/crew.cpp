#include "controller/crew.hpp"

#include <exception>
#include <new>
#include <utility>

namespace ipf {

void Crew::start(std::string name,
                 std::function<void(const std::stop_token&)> run,
                 std::function<void()> wake) {
  wakes_.push_back(std::move(wake));
  threads_.emplace_back([this, name = std::move(name), run = std::move(run)] {
    const auto fail = [&](const std::string& why) {
      log_.error("the " + name + " thread failed, the controller ends: " + why);
      failed_ = true;
    };
    try {
      run(stop_.get_token());
      if (!stop_.stop_requested()) {
        fail("it ended by itself");
      }
    } catch (const std::bad_alloc&) {
      fail("out of memory; see --backlog, --spill-above and the limits of the database");
    } catch (const std::exception& error) {
      fail(error.what());
    } catch (...) {
      fail("unknown error");
    }
    finished_.signal();
  });
}

void Crew::stop() {
  stop_.request_stop();
  for (const auto& wake : wakes_) {
    wake();
  }
  threads_.clear();
  wakes_.clear();
}

}  // namespace ipf
