// Runs a libFuzzer function without libFuzzer, which GCC does not have: replays every file of the
// corpus directory and then mutates them from one seed. The seed is printed first, so that
// IPF_FUZZ_SEED=<seed> repeats a failing run; the failing input is left in a file by on_crash().
#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

// The interface libFuzzer fixes, its names included.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);  // NOLINT

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t input_size_max = 64U * 1024U;

// The input that runs now. A signal handler must reach it, hence the only global of the tests.
struct CurrentInput {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
} current_input;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

// Writes the input to ./fuzz_crash.bin with async-signal-safe calls only, then dies by the signal.
void on_crash(int signal_number) {
  const int file = ::open("fuzz_crash.bin", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0) {
    constexpr std::string_view note = "\nthe failing input is in ./fuzz_crash.bin\n";
    if (::write(file, current_input.data, current_input.size) >= 0) {
      [[maybe_unused]] const auto written = ::write(STDERR_FILENO, note.data(), note.size());
    }
    ::close(file);
  }
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

std::uint64_t number_from_environment(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread only
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

std::vector<Bytes> read_corpus(const char* directory) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.is_regular_file()) {
      paths.push_back(entry.path());
    }
  }
  std::ranges::sort(paths);  // the same order on every machine: it decides what a seed means
  std::vector<Bytes> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

void run(const Bytes& input) {
  current_input = {.data = input.data(), .size = input.size()};
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

class Mutator {
 public:
  Mutator(const std::vector<Bytes>& corpus, std::uint64_t seed) : corpus_(corpus), random_(seed) {}

  Bytes next() {
    Bytes input = corpus_[below(corpus_.size())];
    const std::size_t steps = 1 + below(6);
    for (std::size_t step = 0; step < steps; ++step) {
      mutate(input);
    }
    if (input.size() > input_size_max) {
      input.resize(input_size_max);
    }
    return input;
  }

 private:
  // Not std::uniform_int_distribution: its results differ between standard libraries.
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }

  std::uint8_t interesting_byte() {
    constexpr std::array<std::uint8_t, 16> values{0,   1,   0x7f, 0x80, 0xff, '"', '\\', '{',
                                                  '}', '[', ']',  ',',  ':',  '-', '9',  '<'};
    return values.at(below(values.size()));
  }

  void mutate(Bytes& input) {
    const std::size_t at = below(input.size());
    const std::size_t length = std::min(1 + below(32), input.size() - at);
    const auto begin = input.begin() + static_cast<std::ptrdiff_t>(at);
    const auto end = begin + static_cast<std::ptrdiff_t>(length);
    switch (below(7)) {
      case 0:  // flip one bit
        if (!input.empty()) {
          input[at] = static_cast<std::uint8_t>(input[at] ^ (1U << below(8)));
        }
        break;
      case 1:  // put a byte that parsers care about
        if (!input.empty()) {
          input[at] = interesting_byte();
        }
        break;
      case 2:  // insert a run of one byte
        input.insert(begin, 1 + below(16), interesting_byte());
        break;
      case 3:  // cut a piece out
        input.erase(begin, end);
        break;
      case 4: {  // repeat a piece
        const Bytes piece(begin, end);
        input.insert(begin, piece.begin(), piece.end());
        break;
      }
      case 5:  // truncate
        input.resize(at);
        break;
      default: {  // the tail of another input
        const Bytes& other = corpus_[below(corpus_.size())];
        const auto from = other.begin() + static_cast<std::ptrdiff_t>(below(other.size()));
        input.erase(begin, input.end());
        input.insert(input.end(), from, other.end());
        break;
      }
    }
  }

  const std::vector<Bytes>& corpus_;
  std::mt19937_64 random_;
};

int fuzz(const char* directory) {
  std::vector<Bytes> corpus = read_corpus(directory);
  if (corpus.empty()) {
    std::fprintf(stderr, "no seeds in %s\n", directory);
    return 2;
  }
  const std::uint64_t runs = number_from_environment("IPF_FUZZ_RUNS", 20000);
  const std::uint64_t seed = number_from_environment("IPF_FUZZ_SEED", std::random_device{}());
  std::printf("seeds=%zu runs=%llu IPF_FUZZ_SEED=%llu\n", corpus.size(),
              static_cast<unsigned long long>(runs), static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  for (const int signal_number : {SIGABRT, SIGSEGV, SIGFPE, SIGILL, SIGBUS}) {
    std::signal(signal_number, on_crash);
  }
  corpus.emplace_back();  // the empty input is always part of the corpus
  for (const Bytes& input : corpus) {
    run(input);
  }
  Mutator mutator(corpus, seed);
  for (std::uint64_t count = 0; count < runs; ++count) {
    run(mutator.next());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argc > 0 ? argv[0] : "fuzz");
    return 2;
  }
  try {
    return fuzz(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "uncaught exception: %s\n", error.what());
    return 1;
  }
}
