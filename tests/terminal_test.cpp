#include "reports/terminal.hpp"

#include <doctest/doctest.h>

#include "reports/text.hpp"

using namespace kvroof;
using namespace kvroof::reports;

TEST_CASE("one prefix table: three digits, decimal rates, binary capacity") {
  CHECK(text(Seconds{8.391e-3}) == "8.39 ms");
  CHECK(text(Seconds{1.1784}) == "1.18 s");
  CHECK(text(Seconds{0.99996e-3}) == "1.00 ms");
  CHECK(text(Throughput{989.4e12}) == "989 TFLOP/s");  // a tera that is 1e13 would print 98.9
  CHECK(text(Bandwidth{3.35e12}) == "3.35 TB/s");
  CHECK(text(Bytes{131072}) == "128 KiB");
  CHECK(text(Bytes{16.0 * gibi}) == "16.0 GiB");
  CHECK(count(462176) == "462,176");
  CHECK(number(0.2914) == "0.291");
  CHECK(number(9.9996) == "10.0");
  CHECK(percent(0.617) == "62 %");
}

TEST_CASE("bars are eighths of a cell, or '#'; a share above zero is never invisible") {
  CHECK(bar(0.5, 8, false) == "####");
  CHECK(bar(0.5, 8, true) == "████");
  CHECK(bar(1.0 / 64, 8, true) == "▏");
  CHECK(bar(1e-6, 8, true) == "▏");
  CHECK(bar(0, 8, true).empty());
  CHECK(display_width("ab█") == 3);
  CHECK(pad_left("7 %", 5) == "  7 %");
}
