#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "scheduler/finished_tasks.hpp"
#include "scheduler/task_key.hpp"

namespace ipf {

/// `after` says when a task may run, `follow` where (protocol.md 5.1).
enum class DependencyKind : std::uint8_t { after, follow };

/// A task as the graph sees it: what it waits for and who waits for it. Part of the scheduler's
/// task; nodes stay where they are for ever and are used again.
struct DependencyNode {
  struct Edge {
    DependencyNode* node{};
    std::uint64_t generation{};  ///< the edge is void when the node has another one
    DependencyKind kind{DependencyKind::after};
    [[nodiscard]] bool valid() const { return node->generation == generation; }
  };
  /// How far one kind of dependency is.
  struct Progress {
    bool all{true};
    bool success{true};
    bool failure{false};
    std::uint32_t wanted{};  ///< distinct tasks
    std::uint32_t hits{};    ///< of them, ended as wanted
    std::uint32_t misses{};  ///< of them, ended otherwise
    [[nodiscard]] bool met() const { return wanted == 0 || (all ? hits == wanted : hits > 0); }
    [[nodiscard]] bool unreachable() const {
      return wanted > 0 && (all ? misses > 0 : misses == wanted);
    }
    [[nodiscard]] bool complete() const { return hits + misses == wanted; }
  };

  std::uint64_t generation{};
  Progress after{};
  Progress follow{};
  /// The engines on which `follow` dependencies ended as wanted, each once. With `all` the task
  /// may run when there is exactly one and all are hits; else on each of them.
  std::vector<EngineKey> follow_engines{};
  bool follow_without_engine{false};  ///< a hit that ended on no engine
  std::vector<Edge> dependents{};
  std::vector<Edge> waits_for{};  ///< its unfinished dependencies, for explanations
  std::size_t sweep_at{};
};

/// Counters over the edges of `after` and `follow`; each edge costs O(1) once when it is made and
/// once when its dependency ends. Pure. One thread.
///
/// Edges of a task that ends before its dependencies are void by their generation; a dependency
/// drops them whenever their number has doubled, so a long task does not collect them.
class DependencyGraph {
 public:
  enum class Standing { ready, waits, impossible };

  /// Makes the node a new task that nothing depends on.
  void begin(DependencyNode& node) { node.generation = ++last_generation_; }
  void depend_on_unfinished(DependencyNode& node, DependencyKind kind, DependencyNode& on);
  static void depend_on_finished(DependencyNode& node, DependencyKind kind, TaskOutcome outcome);
  [[nodiscard]] static Standing standing(const DependencyNode& node);
  /// Appends to `affected` every task that depends on the node, its counters brought up to date.
  /// The node is no part of the graph any more.
  void finish(DependencyNode& node,
              TaskOutcome outcome,
              std::vector<DependencyNode::Edge>& affected);

 private:
  static void count(DependencyNode& node, DependencyKind kind, TaskOutcome outcome);
  std::uint64_t last_generation_{};
};

}  // namespace ipf
