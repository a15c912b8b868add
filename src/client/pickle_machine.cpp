#include "client/pickle_machine.hpp"

#include <bit>

namespace ipf::client {

namespace {

Unexpected broken(std::string_view what) {
  return unexpected(ErrorCode::malformed, "the pickle of a result is broken: " + std::string(what));
}

using Kind = PickleNode::Kind;

}  // namespace

Result<PickleNode*> PickleMachine::run() {
  while (true) {
    auto more = step();
    if (!more) {
      return unexpected(more.error());
    }
    if (!*more) {
      return pop();
    }
  }
}

Result<std::string_view> PickleMachine::take(std::size_t count) {
  if (rest_.size() < count) {
    return broken("it ends in the middle");
  }
  const std::string_view out = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return out;
}

Result<std::uint64_t> PickleMachine::take_number(std::size_t bytes) {
  const auto taken = take(bytes);
  if (!taken) {
    return unexpected(taken.error());
  }
  std::uint64_t out = 0;
  for (std::size_t i = bytes; i-- > 0;) {
    out = out << 8U | static_cast<unsigned char>((*taken)[i]);
  }
  return out;
}

Result<std::string_view> PickleMachine::take_sized(std::size_t size_bytes) {
  const auto size = take_number(size_bytes);
  return size ? take(*size) : Result<std::string_view>(unexpected(size.error()));
}

Result<std::string_view> PickleMachine::take_line() {
  const std::size_t end = rest_.find('\n');
  if (end == std::string_view::npos) {
    return broken("a name without end");
  }
  const std::string_view out = rest_.substr(0, end);
  rest_.remove_prefix(end + 1);
  return out;
}

void PickleMachine::push(PickleNode node) {
  stack_.push_back(&nodes_.emplace_back(std::move(node)));
}

Result<PickleNode*> PickleMachine::pop() {
  if (stack_.empty() || (!marks_.empty() && marks_.back() == stack_.size())) {
    return broken("its stack is empty");
  }
  PickleNode* const out = stack_.back();
  stack_.pop_back();
  return out;
}

Result<std::vector<PickleNode*>> PickleMachine::pop_mark() {
  if (marks_.empty()) {
    return broken("its stack has no mark");
  }
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleNode*> out(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return out;
}

Result<void> PickleMachine::push_tuple(std::size_t count) {
  PickleNode tuple{.kind = Kind::tuple};
  tuple.items.resize(count);
  for (std::size_t i = count; i-- > 0;) {
    const auto item = pop();
    if (!item) {
      return unexpected(item.error());
    }
    tuple.items[i] = *item;
  }
  push(std::move(tuple));
  return {};
}

Result<void> PickleMachine::add_to_top(std::vector<PickleNode*> items, bool pairs) {
  if (stack_.empty() || (pairs && items.size() % 2 != 0)) {
    return broken("items without a container");
  }
  PickleNode& top = *stack_.back();
  const bool fits =
      pairs ? top.kind == Kind::dict : top.kind == Kind::list || top.kind == Kind::set;
  if (!fits && top.kind != Kind::call) {
    return broken("items for what is no container");
  }
  auto& target = fits ? top.items : top.added;
  target.insert(target.end(), items.begin(), items.end());
  return {};
}

Result<void> PickleMachine::memoize(std::uint64_t index) {
  if (stack_.empty()) {
    return broken("its stack is empty");
  }
  memo_[index] = stack_.back();
  return {};
}

/// Two's complement, the least significant byte first.
void PickleMachine::push_long(std::string_view bytes) {
  while (bytes.size() > 9 && bytes.back() == '\0') {
    bytes.remove_suffix(1);
  }
  std::uint64_t low = 0;
  const bool negative = !bytes.empty() && (static_cast<unsigned char>(bytes.back()) & 0x80U) != 0;
  if (negative) {
    low = ~std::uint64_t{0};
  }
  for (std::size_t i = std::min<std::size_t>(bytes.size(), 8); i-- > 0;) {
    low = low << 8U | static_cast<unsigned char>(bytes[i]);
  }
  if (bytes.size() <= 8) {
    push({.value = Value(static_cast<std::int64_t>(low))});
  } else if (bytes.size() == 9 && bytes.back() == '\0') {
    push({.value = Value(low)});
  } else {
    push({.value = Value::object("int of more than 64 bits")});
  }
}

/// False at the end of the pickle.
Result<bool> PickleMachine::step() {
  const auto taken = take(1);
  if (!taken) {
    return unexpected(taken.error());
  }
  const auto code = static_cast<unsigned char>(taken->front());
  if (code == '.') {
    return false;
  }
  auto done = step_atom(code);
  if (!done) {
    return unexpected(done.error());
  }
  if (*done) {
    return true;
  }
  constexpr std::string_view container_codes =
      ")t\x85\x86\x87]}\x8f"
      "aesu\x90\x91(012";
  constexpr std::string_view memo_codes = "\x94qrhj";
  Result<void> stepped;
  if (container_codes.find(static_cast<char>(code)) != std::string_view::npos) {
    stepped = step_container(code);
  } else if (memo_codes.find(static_cast<char>(code)) != std::string_view::npos) {
    stepped = step_memo(code);
  } else {
    stepped = step_object(code);
  }
  if (!stepped) {
    return unexpected(stepped.error());
  }
  return true;
}

/// True if the opcode pushed something simple, or was one of the frame around the pickle.
Result<bool> PickleMachine::step_atom(unsigned char code) {
  const auto number = [&](std::size_t bytes, auto convert) -> Result<bool> {
    const auto taken = take_number(bytes);
    if (!taken) {
      return unexpected(taken.error());
    }
    push({.value = convert(*taken)});
    return true;
  };
  const auto sized = [&](std::size_t size_bytes, auto convert) -> Result<bool> {
    const auto taken = take_sized(size_bytes);
    if (!taken) {
      return unexpected(taken.error());
    }
    convert(*taken);
    return true;
  };
  const auto as_text = [&](std::string_view text) { push({.value = Value(text)}); };
  const auto as_bytes = [&](std::string_view bytes) {
    push({.value = Value::bytes(Buffer{pickle_.owner, bytes})});
  };
  const auto as_integer = [](std::uint64_t value) {
    return Value(static_cast<std::int64_t>(value));
  };
  switch (code) {
    case 0x80:  // PROTO
      return take(1) ? Result<bool>(true) : broken("it ends in the middle");
    case 0x95:  // FRAME
      return take(8) ? Result<bool>(true) : broken("it ends in the middle");
    case 'N':
      push({});
      return true;
    case 0x88:
    case 0x89:
      push({.value = Value(code == 0x88)});
      return true;
    case 'J':
      return number(4, [](std::uint64_t value) {
        return Value(std::int64_t{static_cast<std::int32_t>(value)});
      });
    case 'K':
      return number(1, as_integer);
    case 'M':
      return number(2, as_integer);
    case 'G':
      return number(8, [](std::uint64_t little) {
        return Value(std::bit_cast<double>(__builtin_bswap64(little)));
      });
    case 0x8a:
      return sized(1, [&](std::string_view bytes) { push_long(bytes); });
    case 0x8b:
      return sized(4, [&](std::string_view bytes) { push_long(bytes); });
    case 0x8c:
      return sized(1, as_text);
    case 'X':
      return sized(4, as_text);
    case 0x8d:
      return sized(8, as_text);
    case 'C':
      return sized(1, as_bytes);
    case 'B':
      return sized(4, as_bytes);
    case 0x8e:
    case 0x96:  // bytes and bytearray
      return sized(8, as_bytes);
    default:
      return false;
  }
}

Result<void> PickleMachine::step_container(unsigned char code) {
  switch (code) {
    case '(':
      marks_.push_back(stack_.size());
      return {};
    case ')':
      return push_tuple(0);
    case 0x85:
    case 0x86:
    case 0x87:
      return push_tuple(code - 0x84U);
    case ']':
      push({.kind = Kind::list});
      return {};
    case '}':
      push({.kind = Kind::dict});
      return {};
    case 0x8f:
      push({.kind = Kind::set});
      return {};
    case '0': {
      const auto popped = pop();
      return popped ? Result<void>() : unexpected(popped.error());
    }
    case '2': {
      if (stack_.empty()) {
        return broken("its stack is empty");
      }
      stack_.push_back(stack_.back());
      return {};
    }
    case 'a':
    case 's': {
      std::vector<PickleNode*> items(code == 's' ? 2 : 1);
      for (std::size_t i = items.size(); i-- > 0;) {
        const auto item = pop();
        if (!item) {
          return unexpected(item.error());
        }
        items[i] = *item;
      }
      return add_to_top(std::move(items), code == 's');
    }
    default:
      break;
  }
  auto items = pop_mark();
  if (!items) {
    return unexpected(items.error());
  }
  if (code == 't' || code == 0x91) {
    push({.kind = code == 't' ? Kind::tuple : Kind::set, .items = std::move(*items)});
    return {};
  }
  return code == '1' ? Result<void>() : add_to_top(std::move(*items), code == 'u');
}

Result<void> PickleMachine::step_memo(unsigned char code) {
  std::uint64_t index = memo_.size();
  if (code != 0x94) {
    const auto taken = take_number(code == 'q' || code == 'h' ? 1 : 4);
    if (!taken) {
      return unexpected(taken.error());
    }
    index = *taken;
  }
  if (code != 'h' && code != 'j') {
    return memoize(index);
  }
  const auto found = memo_.find(index);
  if (found == memo_.end()) {
    return broken("it names an object that it does not have");
  }
  stack_.push_back(found->second);
  return {};
}

Result<void> PickleMachine::step_object(unsigned char code) {
  if (code == 'c') {
    const auto module = take_line();
    const auto name = take_line();
    if (!module || !name) {
      return broken("a name without end");
    }
    push({.kind = Kind::global, .name = std::string(*module) + "." + std::string(*name)});
    return {};
  }
  if (code != 'R' && code != 'b' && code != 0x81 && code != 0x92 && code != 0x93) {
    return broken("opcode " + std::to_string(code) + " is not supported");
  }
  if (code == 0x92) {  // NEWOBJ_EX: keyword arguments, which no type that we know has
    const auto keywords = pop();
    if (!keywords) {
      return unexpected(keywords.error());
    }
  }
  const auto second = pop();
  if (!second) {
    return unexpected(second.error());
  }
  if (code == 'b') {
    if (stack_.empty() || stack_.back()->kind != Kind::call) {
      return broken("a state without an object");
    }
    stack_.back()->state = *second;
    return {};
  }
  const auto first = pop();
  if (!first) {
    return unexpected(first.error());
  }
  if (code == 0x93) {
    const auto is_text = [](const PickleNode& node) {
      return node.kind == Kind::atom && node.value.kind() == Value::Kind::text;
    };
    if (!is_text(**first) || !is_text(**second)) {
      return broken("a name that is no text");
    }
    push({.kind = Kind::global, .name = (*first)->value.text() + "." + (*second)->value.text()});
    return {};
  }
  // What is called may be the result of another call; then only its name is known.
  if ((*second)->kind != Kind::tuple) {
    return broken("a call without arguments");
  }
  push({.kind = Kind::call, .name = (*first)->name, .items = (*second)->items});
  return {};
}

}  // namespace ipf::client
