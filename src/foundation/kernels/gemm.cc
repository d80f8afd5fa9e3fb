#include "foundation/kernels/gemm.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <dnnl.hpp>
#include <new>
#include <utility>

#include "foundation/base/error.h"
#include "foundation/base/parallel.h"
#include "foundation/kernels/byte_products.h"

namespace tessera::kernels {
namespace {

using dnnl::memory;

/// The processor. Immutable once made.
const dnnl::engine& processor() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// Whether oneDNN may use these instructions.
bool has(dnnl::cpu_isa instructions) {
  const auto wanted = static_cast<unsigned>(instructions);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

memory::dim dim(std::size_t size) { return static_cast<memory::dim>(size); }

memory::desc describe(std::size_t rows, std::size_t columns, memory::data_type type, bool transposed) {
  const memory::dims strides = transposed ? memory::dims{1, dim(rows)} : memory::dims{dim(columns), 1};
  return {{dim(rows), dim(columns)}, type, strides};
}

/// Of a product A B = C.
dnnl::matmul::primitive_desc plan(const memory::desc& a, const memory::desc& b, const memory::desc& product,
                                  dnnl::primitive_attr attributes) {
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
#if DNNL_VERSION_MAJOR < 3  // which took the description of an operation apart from that of the primitive
  return {{a, b, product}, attributes, processor()};
#else
  return {processor(), a, b, product, attributes};
#endif
}

dnnl::matmul::primitive_desc plan(const ProductShape& shape) {
  const auto type = shape.precision == Precision::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  dnnl::primitive_attr attributes;
  if (shape.accumulate) {
    dnnl::post_ops add;
    add.append_sum(1.0f);
    attributes.set_post_ops(add);
  }
  return plan(describe(shape.m, shape.k, type, shape.a_transposed),
              describe(shape.k, shape.n, type, shape.b_transposed),
              describe(shape.m, shape.n, memory::data_type::f32, false), attributes);
}

dnnl::matmul::primitive_desc plan(const ByteProductShape& shape) {
  return plan(describe(shape.m, shape.k, memory::data_type::s8, false),
              describe(shape.k, shape.n, memory::data_type::s8, true),
              describe(shape.m, shape.n, memory::data_type::s32, false), {});
}

/// oneDNN's memory objects take pointers to mutable bytes for operands that are only read as well.
memory view(const memory::desc& description, const void* data) {
  return {description, processor(), const_cast<void*>(data)};
}

/// Whether oneDNN's products of bytes are exact.
bool has_exact_byte_products() { return has(dnnl::cpu_isa::avx512_core_vnni); }

}  // namespace

Precision fastest_precision() {
  return has(dnnl::cpu_isa::avx512_core_bf16) ? Precision::bf16 : Precision::f32;
}

std::span<const Precision> available_precisions() {
  static constexpr std::array kAll = {Precision::f32, Precision::bf16};
  return std::span(kAll).first(has(dnnl::cpu_isa::avx512_core) ? 2 : 1);
}

Precision resolve_precision(std::optional<Precision> wanted) {
  if (wanted == Precision::bf16 && available_precisions().back() != Precision::bf16) {
    throw UsageError("bf16 products need a processor with AVX-512; use f32");
  }
  return wanted.value_or(fastest_precision());
}

struct MatrixProduct::Prepared {
  explicit Prepared(dnnl::matmul::primitive_desc planned)
      : description(std::move(planned)),
        product(description),
        stream(processor()),
        scratch(Precision::f32, 1, description.scratchpad_desc().get_size() / sizeof(float) + 1) {}

  /// Throws std::bad_alloc.
  template <class Shape>
  static std::unique_ptr<Prepared> make(const Shape& shape) try {
    const SingleThreadScope alone;
    return std::make_unique<Prepared>(plan(shape));
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) throw std::bad_alloc();
    throw;
  }

  void run(const void* a, const void* b, void* c) {
    const SingleThreadScope alone;
    product.execute(stream, {{DNNL_ARG_SRC, view(description.src_desc(), a)},
                             {DNNL_ARG_WEIGHTS, view(description.weights_desc(), b)},
                             {DNNL_ARG_DST, view(description.dst_desc(), c)},
                             {DNNL_ARG_SCRATCHPAD, view(description.scratchpad_desc(), scratch.data())}});
    stream.wait();
  }

  dnnl::matmul::primitive_desc description;
  dnnl::matmul product;
  dnnl::stream stream;
  Matrix scratch;
};

MatrixProduct::MatrixProduct(const ProductShape& shape) : prepared_(Prepared::make(shape)) {}
MatrixProduct::MatrixProduct(const ByteProductShape& shape) : prepared_(Prepared::make(shape)) {}
MatrixProduct::~MatrixProduct() = default;
MatrixProduct::MatrixProduct(MatrixProduct&&) noexcept = default;
MatrixProduct& MatrixProduct::operator=(MatrixProduct&&) noexcept = default;

void MatrixProduct::run(const std::byte* a, const std::byte* b, float* c) { prepared_->run(a, b, c); }

void MatrixProduct::run(const std::int8_t* a, const std::int8_t* b, std::int32_t* c) {
  prepared_->run(a, b, c);
}

void MatrixProducts::multiply(const ProductShape& shape, const std::byte* a, const std::byte* b, float* c) {
  auto found = prepared_.find(shape);
  if (found == prepared_.end()) found = prepared_.emplace(shape, MatrixProduct(shape)).first;
  found->second.run(a, b, c);
}

void ByteProducts::multiply(const ByteProductShape& shape, const std::int8_t* a, const std::int8_t* b,
                            std::int32_t* c) {
  assert(shape.k < kMostByteTerms);
  if (!has_exact_byte_products()) {
    multiply_bytes({a, shape.m * shape.k}, {b, shape.n * shape.k}, shape.k, {c, shape.m * shape.n});
    return;
  }
  auto found = prepared_.find(shape);
  if (found == prepared_.end()) found = prepared_.emplace(shape, MatrixProduct(shape)).first;
  found->second.run(a, b, c);
}

}  // namespace tessera::kernels
