#include "model/units.hpp"

#include <doctest/doctest.h>

#include "model/dtype.hpp"

using namespace kvroof;

// What must not compile: a byte is not an element, a time is not a rate.
template <class A, class B>
concept Addable = requires(A a, B b) {
  a + b;
};
static_assert(Addable<Bytes, Bytes>);
static_assert(!Addable<Bytes, Elements>);
static_assert(!Addable<Seconds, Bandwidth>);
static_assert(std::is_same_v<decltype(Elements{} * ElementSize{}), Bytes>);
static_assert(std::is_same_v<decltype(Bytes{} / Bytes{}), double>);
static_assert(std::is_same_v<decltype(Bytes{} / Bandwidth{}), Seconds>);
static_assert(tera == 1000 * giga && peta == 1000 * tera && gibi == 1024 * mebi);

TEST_CASE("element sizes carry their scales") {
  // NVFP4: one 8-bit scale per 16 values; MXFP4: per 32; AWQ group 128: 16-bit scale + 4-bit zero.
  CHECK(element_size(Dtype::bf16).value == 2.0);
  CHECK(element_size(Dtype::fp8).value == 1.0);
  CHECK(element_size(Dtype::nvfp4).value == 0.5625);
  CHECK(element_size(Dtype::mxfp4).value == 0.53125);
  CHECK(element_size(Dtype::int4_g128).value * 8 == doctest::Approx(4.156).epsilon(1e-4));
  CHECK(element_size(Dtype::int8_per_token).value * 8 == 8.25);
}

TEST_CASE("dtype names round-trip and engine spellings are understood") {
  for (const DtypeInfo& i : kDtypes) {
    CHECK(dtype_from_name(i.name) == i.dtype);
    CHECK(info(i.dtype).dtype == i.dtype);
  }
  CHECK(dtype_from_name("bfloat16") == Dtype::bf16);
  CHECK_FALSE(dtype_from_name("fp9").has_value());
}
