#pragma once

namespace ipf {

/// An eventfd: any thread may signal(), the owner polls fd() and drains it.
class Wakeup {
 public:
  Wakeup();
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;
  ~Wakeup();
  [[nodiscard]] int fd() const { return fd_; }
  void signal() const;
  void drain() const;

 private:
  int fd_;
};

}  // namespace ipf
