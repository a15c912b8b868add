#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/result.hpp"
#include "ipyfleet/types.hpp"
#include "ipyfleet/value.hpp"

namespace ipf::client {

/// What a pickle builds: a graph, because a pickle may name one object twice, or inside itself.
struct PickleNode {
  enum class Kind {
    atom,    ///< `value`
    list,    ///< `items`
    tuple,   ///< `items`
    set,     ///< `items`
    dict,    ///< `items`: key, value, key, value, ...
    global,  ///< `name`: a class or a function, "module.name"
    call,    ///< of `name` with the arguments `items`, then `state`; `added` is put in afterwards
  };
  Kind kind{Kind::atom};
  Value value{};
  std::string name{};
  std::vector<PickleNode*> items{};
  std::vector<PickleNode*> added{};  ///< list items, or keys and values, of the object called
  PickleNode* state{};
  // For the conversion: seen twice while it is not done means that it contains itself.
  bool converting{false};
  bool converted{false};
};

/// Runs the opcodes of one pickle. One use; owns the nodes.
class PickleMachine {
 public:
  /// `pickle` is kept by the bytes in the result.
  explicit PickleMachine(const Buffer& pickle) : pickle_(pickle), rest_(pickle.bytes) {}

  /// The object; it lives as long as the machine.
  Result<PickleNode*> run();

 private:
  Result<bool> step();
  Result<bool> step_atom(unsigned char code);
  Result<void> step_container(unsigned char code);
  Result<void> step_memo(unsigned char code);
  Result<void> step_object(unsigned char code);

  Result<std::string_view> take(std::size_t count);
  Result<std::uint64_t> take_number(std::size_t bytes);
  Result<std::string_view> take_sized(std::size_t size_bytes);
  Result<std::string_view> take_line();
  Result<PickleNode*> pop();
  Result<std::vector<PickleNode*>> pop_mark();
  Result<void> push_tuple(std::size_t count);
  Result<void> add_to_top(std::vector<PickleNode*> items, bool pairs);
  Result<void> memoize(std::uint64_t index);
  void push(PickleNode node);
  void push_long(std::string_view little_endian);

  const Buffer& pickle_;
  std::string_view rest_;
  std::deque<PickleNode> nodes_;
  std::vector<PickleNode*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, PickleNode*> memo_;
};

}  // namespace ipf::client
