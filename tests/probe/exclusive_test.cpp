#include "cupti_probe/exclusive.hpp"

#include <doctest/doctest.h>

#include "cupti_probe/error.hpp"

using namespace kvroof::probe;

TEST_CASE("counters and tracing exclude each other and latency is spoilt for good") {
  {
    const Claim counters(Instrument::counters);
    CHECK_THROWS_WITH_AS(Claim(Instrument::tracing),
                         "tracing cannot start: counters are in use in this process", Unavailable);
    CHECK_THROWS_AS(Claim(Instrument::counters), Unavailable);
  }
  CHECK_NOTHROW(Claim(Instrument::tracing));
  CHECK_FALSE(latency_is_clean());
}
