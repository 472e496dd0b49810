// Test data of quantised K/V caches: codes and scales on the device, and the values they stand for.
#pragma once
#include "kernels/data.hpp"

namespace kvroof::kernels {

/// `rows` rows of 128 codes, packed two a byte below 8 bits (even columns in the low half).
///   fp8                             scale: one fp32
///   fp8_per_token, int8_per_token   scale [rows] fp32
///   int4_g128                       scale [rows] fp16; the zero points lie apart
///   nvfp4                           blocks [rows, 8] E4M3, scale: one fp32
struct QuantisedData {
  Dtype format;
  std::size_t rows;
  Buffer codes, scale, blocks;
};
QuantisedData quantised_data(Dtype format, std::size_t rows);

/// Fresh codes of every value and positive scales that make the values of about unit spread.
void fill_quantised(const QuantisedData&);
/// Any bytes.
void fill_bytes(const Buffer&);

/// Codes times scales [rows, 128], exactly. `zeros` [rows] bytes: int4's zero point of row r is
/// zeros[r] >> shift & 15.
std::vector<float> widened(const QuantisedData&, const Buffer& zeros, int shift);

}  // namespace kvroof::kernels
