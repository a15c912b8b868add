#include "scheduler/dependency_graph.hpp"

#include <algorithm>

namespace ipf {

namespace {
constexpr std::size_t sweep_at_least = 16;
}  // namespace

void DependencyGraph::depend_on_unfinished(DependencyNode& node,
                                           DependencyKind kind,
                                           DependencyNode& on) {
  auto& progress = kind == DependencyKind::after ? node.after : node.follow;
  ++progress.wanted;
  if (on.dependents.size() >= std::max(on.sweep_at, sweep_at_least)) {
    std::erase_if(on.dependents, [](const auto& edge) { return !edge.valid(); });
    on.sweep_at = 2 * on.dependents.size();
  }
  on.dependents.push_back({&node, node.generation, kind});
  node.waits_for.push_back({&on, on.generation, kind});
}

void DependencyGraph::depend_on_finished(DependencyNode& node,
                                         DependencyKind kind,
                                         TaskOutcome outcome) {
  ++(kind == DependencyKind::after ? node.after : node.follow).wanted;
  count(node, kind, outcome);
}

void DependencyGraph::count(DependencyNode& node, DependencyKind kind, TaskOutcome outcome) {
  auto& progress = kind == DependencyKind::after ? node.after : node.follow;
  if (outcome.succeeded ? !progress.success : !progress.failure) {
    ++progress.misses;
    return;
  }
  ++progress.hits;
  if (kind == DependencyKind::after) {
    return;
  }
  if (outcome.engine == 0) {
    node.follow_without_engine = true;
  } else if (std::find(node.follow_engines.begin(), node.follow_engines.end(), outcome.engine) ==
             node.follow_engines.end()) {
    node.follow_engines.push_back(outcome.engine);
  }
}

DependencyGraph::Standing DependencyGraph::standing(const DependencyNode& node) {
  const auto& follow = node.follow;
  const bool scattered =
      follow.all && (node.follow_without_engine || node.follow_engines.size() > 1);
  const bool nowhere = follow.wanted > 0 && follow.complete() && node.follow_engines.empty();
  if (node.after.unreachable() || follow.unreachable() || scattered || nowhere) {
    return Standing::impossible;
  }
  const bool has_place = follow.wanted == 0 || (follow.met() && !node.follow_engines.empty());
  return node.after.met() && has_place ? Standing::ready : Standing::waits;
}

void DependencyGraph::finish(DependencyNode& node,
                             TaskOutcome outcome,
                             std::vector<DependencyNode::Edge>& affected) {
  for (const auto& edge : node.dependents) {
    if (edge.valid()) {
      count(*edge.node, edge.kind, outcome);
      affected.push_back(edge);
    }
  }
  node.dependents.clear();
  node.generation = 0;
}

}  // namespace ipf
