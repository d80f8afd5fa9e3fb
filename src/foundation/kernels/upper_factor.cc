#include "foundation/kernels/upper_factor.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cassert>
#include <functional>
#include <utility>

#include "foundation/base/parallel.h"
#include "foundation/kernels/triangular_solve.h"

namespace tessera::kernels {

namespace {

constexpr std::size_t kPanel = UpperFactor::kPanelColumns;

const std::byte* bytes_of(const std::vector<float>& values) {
  return reinterpret_cast<const std::byte*>(values.data());
}

/// Replaces a small symmetric matrix by R^T, zeros above its diagonal; false when it is not positive
/// definite.
bool factor_in_place(std::vector<float>& matrix, std::size_t size) {
  // With the order of rows and columns reversed, A' = L L^T. Reversing L makes it the upper factor of A, and
  // reversing all elements of an array reverses both its rows and its columns. What is stored by
  // columns is transposed by rows, which is how it is wanted: R_jk at (k, j), j <= k.
  std::ranges::reverse(matrix);
  const auto n = static_cast<Eigen::Index>(size);
  Eigen::Map<Eigen::MatrixXf> by_columns(matrix.data(), n, n);
  const Eigen::LLT<Eigen::Ref<Eigen::MatrixXf>> in_place(by_columns);
  // A NaN on the diagonal passes Eigen's test for a positive one, and stays there.
  if (in_place.info() != Eigen::Success || !by_columns.diagonal().allFinite()) return false;
  std::ranges::reverse(matrix);
  for (std::size_t k = 0; k < size; ++k) {
    std::fill(matrix.begin() + static_cast<std::ptrdiff_t>(k * size + k + 1),
              matrix.begin() + static_cast<std::ptrdiff_t>((k + 1) * size), 0.0f);
  }
  return true;
}

}  // namespace

/// What is left of the matrix, in pieces: (p, q), q <= p, holds [k, j], k of the columns of panel p and j of
/// those of panel q. Pieces of a finished panel hold R_jk.
class UpperFactor::Pieces {
 public:
  Pieces(std::span<const float> matrix, const UpperFactor& factor, int threads)
      : factor_(factor), threads_(threads), workers_(static_cast<std::size_t>(resolve_threads(threads))) {
    for (std::size_t p = 0; p < factor.panels(); ++p) {
      auto& pieces = of_.emplace_back(p + 1);
      for (std::size_t q = 0; q <= p; ++q) pieces[q].resize(width(p) * width(q));
    }
    parallel_for(factor.panels(), threads_, [&](std::size_t p, int) {
      for (std::size_t k = 0; k < width(p); ++k) {
        const auto row = matrix.subspan((p * kPanel + k) * factor.size(), factor.size());
        for (std::size_t q = 0; q <= p; ++q) {
          std::copy_n(row.data() + q * kPanel, width(q), of_[p][q].data() + k * width(q));
        }
      }
    });
  }

  /// Finishes panel p, which all behind it have been subtracted from.
  bool finish(std::size_t p) {
    if (!factor_in_place(of_[p][p], width(p))) return false;
    std::vector<std::vector<float>> negated(p);
    parallel_for(p, threads_, [&](std::size_t q, int) {
      solve_piece(p, q);
      negated[q].resize(of_[p][q].size());
      std::ranges::transform(of_[p][q], negated[q].begin(), std::negate());
    });
    std::vector<std::pair<std::size_t, std::size_t>> left;
    for (std::size_t r = 0; r < p; ++r) {
      for (std::size_t q = 0; q <= r; ++q) left.emplace_back(r, q);
    }
    parallel_for(left.size(), threads_, [&](std::size_t index, int worker) {
      const auto [r, q] = left[index];
      workers_[static_cast<std::size_t>(worker)].multiply(
          {.m = width(r), .n = width(q), .k = width(p), .a_transposed = true, .accumulate = true},
          bytes_of(negated[r]), bytes_of(of_[p][q]), of_[r][q].data());
    });
    return true;
  }

  std::vector<float>& of(std::size_t p, std::size_t q) { return of_[p][q]; }

 private:
  std::size_t width(std::size_t panel) const { return factor_.panel_columns(panel); }

  /// R_jk of the piece: what stands there is R_jm R_km summed over the columns m of the panel.
  void solve_piece(std::size_t p, std::size_t q) {
    std::vector<float> sides(width(p) * kRows);
    const std::size_t columns = width(q);
    for (std::size_t first = 0; first < columns; first += kRows) {
      const std::size_t count = std::min(kRows, columns - first);
      float* const piece = of_[p][q].data() + first;
      for (std::size_t k = 0; k < width(p); ++k) std::copy_n(piece + k * columns, count, &sides[k * kRows]);
      solve_transposed_upper(of_[p][p], width(p), kRows, sides.data());
      for (std::size_t k = 0; k < width(p); ++k) std::copy_n(&sides[k * kRows], count, piece + k * columns);
    }
  }

  const UpperFactor& factor_;
  int threads_;
  std::vector<MatrixProducts> workers_;
  std::vector<std::vector<std::vector<float>>> of_;
};

std::optional<UpperFactor> UpperFactor::of(std::span<const float> matrix, std::size_t size, int threads) {
  assert(matrix.size() == size * size);
  UpperFactor factor(size);
  Pieces pieces(matrix, factor, threads);
  for (std::size_t p = factor.panels(); p-- > 0;) {
    if (!pieces.finish(p)) return std::nullopt;
  }
  for (std::size_t p = 0; p < factor.panels(); ++p) {
    auto& before = factor.before_.emplace_back(Precision::f32, factor.panel_columns(p), p * kPanelColumns);
    for (std::size_t q = 0; q < p; ++q) {
      for (std::size_t k = 0; k < before.rows(); ++k) {
        before.store(k, q * kPanelColumns,
                     std::span(pieces.of(p, q)).subspan(k * kPanelColumns, kPanelColumns));
      }
    }
    factor.within_.push_back(std::move(pieces.of(p, p)));
  }
  return factor;
}

std::size_t UpperFactor::panel_columns(std::size_t panel) const {
  return std::min(kPanelColumns, size_ - panel * kPanelColumns);
}

// X becomes Y with Y R^T = X, from the last panel to the first, then Z with Z R = Y the other way. What
// solved columns take from others is a product of matrices, added to with the sign reversed.
void UpperFactor::solve(std::span<float> x, MatrixProducts& products) const {
  assert(x.size() == size_ * kRows);
  std::vector<float> negated(x.size());
  const auto bytes = [](const float* values) { return reinterpret_cast<const std::byte*>(values); };
  const auto negate = [&](std::size_t panel) {
    const std::size_t first = panel * kPanelColumns * kRows, end = first + panel_columns(panel) * kRows;
    for (std::size_t i = first; i < end; ++i) negated[i] = -x[i];
  };
  for (std::size_t panel = panels(); panel-- > 0;) {
    const std::size_t first = panel * kPanelColumns, width = panel_columns(panel);
    solve_transposed_upper(within_[panel], width, kRows, x.data() + first * kRows);
    if (panel == 0) break;
    negate(panel);
    products.multiply({.m = first, .n = kRows, .k = width, .a_transposed = true, .accumulate = true},
                      before_[panel].data(), bytes(negated.data() + first * kRows), x.data());
  }
  for (std::size_t panel = 0; panel < panels(); ++panel) {
    const std::size_t first = panel * kPanelColumns, width = panel_columns(panel);
    if (panel > 0) {
      products.multiply({.m = width, .n = kRows, .k = first, .accumulate = true}, before_[panel].data(),
                        bytes(negated.data()), x.data() + first * kRows);
    }
    solve_upper(within_[panel], width, kRows, x.data() + first * kRows);
    negate(panel);
  }
}

}  // namespace tessera::kernels
