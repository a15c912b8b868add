#include "apps/completion.hpp"

#include <cstdlib>
#include <iostream>

#include "apps/options.hpp"

namespace ipf {

namespace {

// Options come from --help, so that no list of them can get old.
constexpr const char* for_bash = R"IPF(# bash completion of ipcluster, ipcontroller and ipengine:
#   source <(ipcluster completion bash)
declare -gA _ipyfleet_known
_ipyfleet_words() {
  local key="$*"
  if [ -z "${_ipyfleet_known[$key]+x}" ]; then
    _ipyfleet_known[$key]="$("$@" --help 2>/dev/null | grep -oE -- '(^|[ ,])--?[a-zA-Z][-a-zA-Z0-9]*' | tr -d ' ,' | sort -u)"
  fi
  REPLY="${_ipyfleet_known[$key]}"
}
_ipyfleet() {
  local program="${COMP_WORDS[0]}" current="${COMP_WORDS[COMP_CWORD]}" command="" word
  COMPREPLY=()
  if [ "${program##*/}" = ipcluster ]; then
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
      case "$word" in
        --) return ;;
        start | stop | engines | list | clean | doctor | top | completion) command="$word"; break ;;
      esac
    done
    if [ -z "$command" ] && [[ "$current" != -* ]]; then
      COMPREPLY=($(compgen -W "start stop engines list clean doctor top completion" -- "$current"))
      return
    fi
    if [ "$command" = completion ]; then
      COMPREPLY=($(compgen -W "bash zsh fish" -- "$current"))
      return
    fi
  fi
  if [[ "$current" == -* ]]; then
    _ipyfleet_words "$program" ${command:+"$command"}
    COMPREPLY=($(compgen -W "$REPLY" -- "$current"))
  fi
}
complete -o default -F _ipyfleet ipcluster ipcontroller ipengine
)IPF";

constexpr const char* for_zsh = R"IPF(#compdef ipcluster ipcontroller ipengine
# zsh completion: source <(ipcluster completion zsh), or as a file _ipcluster in $fpath.
_ipyfleet() {
  local program="${words[1]}" command="" word
  if [[ "${program:t}" = ipcluster ]]; then
    for word in ${words[2,CURRENT-1]}; do
      case "$word" in
        --) return ;;
        start | stop | engines | list | clean | doctor | top | completion) command="$word"; break ;;
      esac
    done
    if [[ -z "$command" && "${words[CURRENT]}" != -* ]]; then
      compadd start stop engines list clean doctor top completion
      return
    fi
    if [[ "$command" = completion ]]; then
      compadd bash zsh fish
      return
    fi
  fi
  if [[ "${words[CURRENT]}" = -* ]]; then
    compadd -- $("$program" ${command:+"$command"} --help 2>/dev/null |
      grep -oE -- '(^|[ ,])--?[a-zA-Z][-a-zA-Z0-9]*' | tr -d ' ,' | sort -u)
  else
    _files
  fi
}
if [ "$funcstack[1]" = "_ipcluster" ]; then
  _ipyfleet "$@"
else
  compdef _ipyfleet ipcluster ipcontroller ipengine
fi
)IPF";

constexpr const char* for_fish = R"IPF(# fish completion: ipcluster completion fish | source
function __ipyfleet_options
  set -l words (commandline -opc)
  set -l program $words[1]
  set -l command
  for word in $words[2..-1]
    contains -- $word start stop engines list clean doctor top; and set command $word; and break
  end
  $program $command --help 2>/dev/null | grep -oE -- '(^|[ ,])--?[a-zA-Z][-a-zA-Z0-9]*' | tr -d ' ,' | sort -u
end
function __ipyfleet_no_command
  not __fish_seen_subcommand_from start stop engines list clean doctor top completion
end
complete -c ipcluster -n __ipyfleet_no_command -f -a "start stop engines list clean doctor top completion"
complete -c ipcluster -n "__fish_seen_subcommand_from completion" -f -a "bash zsh fish"
for program in ipcluster ipcontroller ipengine
  complete -c $program -n "string match -q -- '-*' (commandline -ct)" -a "(__ipyfleet_options)"
end
)IPF";

}  // namespace

std::optional<int> print_completion(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0] != "completion") {
    return std::nullopt;
  }
  const std::string shell = arguments.size() == 2 ? arguments[1] : "";
  const char* const text = shell == "bash"   ? for_bash
                           : shell == "zsh"  ? for_zsh
                           : shell == "fish" ? for_fish
                                             : nullptr;
  if (text == nullptr) {
    const bool help = shell == "--help" || shell == "-h";
    (help ? std::cout : std::cerr) << "usage: ipcluster completion bash|zsh|fish\n";
    return help ? EXIT_SUCCESS : usage_error;
  }
  std::cout << text;
  return EXIT_SUCCESS;
}

}  // namespace ipf
