// Products of matrices of signed bytes in 32-bit sums, exact, on any machine: what gemm.cc falls back to
// where oneDNN's 8-bit products saturate on the way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tessera::kernels {

/// c [m, n] = a [m, k] b [n, k]^T, on the calling thread. k < 131072 keeps sums from overflowing.
void multiply_bytes(std::span<const std::int8_t> a, std::span<const std::int8_t> b, std::size_t k,
                    std::span<std::int32_t> c);

}  // namespace tessera::kernels
