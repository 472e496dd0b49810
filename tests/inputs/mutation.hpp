// Random damage to texts, the same on every machine.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace kvroof {

/// splitmix64 (Steele, Lea, Flood 2014): good enough here and the same on every machine.
struct Random {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t n) { return n ? static_cast<std::size_t>(next() % n) : 0; }
};

/// One change of `s`: bytes, words, lines, indentation, digits, a piece of another of the `seeds`,
/// deep nesting, aliases of aliases.
void mutate(std::string& s, Random& r, const std::vector<std::string>& seeds);

}  // namespace kvroof
