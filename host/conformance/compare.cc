#include "conformance/compare.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <minnow/sdk/graph_view.hpp>
#include <vector>

namespace minnow::conformance {

namespace {

std::vector<float> Floats(std::span<const std::byte> bytes) {
  std::vector<float> v(bytes.size() / sizeof(float));
  if (!v.empty()) std::memcpy(v.data(), bytes.data(), v.size() * sizeof(float));
  return v;
}

// Element i as a person finds it.
std::string Where(const mnw_value& v, size_t i) {
  const auto width = static_cast<size_t>(v.dim[0]);
  return fmt::format("row {}, element {}", i / width, i % width);
}

Status Apart(const mnw_value& v, size_t i, float want, float got) {
  return Error(Code::kInternal, "{} is {:.9g}, the reference gives {:.9g}", Where(v, i), got, want);
}

Status CompareClose(const mnw_value& v, std::span<const float> want, std::span<const float> got,
                    const Bound& bound) {
  for (size_t i = 0; i < want.size(); ++i) {
    const double a = want[i], b = got[i];
    if ((std::isnan(a) && std::isnan(b)) || a == b) continue;
    if (std::fabs(b - a) <= bound.abs + bound.rel * std::fabs(a)) continue;
    return Apart(v, i, want[i], got[i])
        .Annotate(fmt::format("off by more than {:g} + {:g} of the value", bound.abs, bound.rel));
  }
  return Status();
}

Status CompareNmse(const mnw_value& v, std::span<const float> want, std::span<const float> got,
                   const Bound& bound) {
  double error = 0, power = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double d = double{got[i]} - want[i];
    error += d * d;
    power += double{want[i]} * want[i];
  }
  const double rms = std::sqrt(power / static_cast<double>(std::max<size_t>(want.size(), 1)));
  const double furthest = 8 * std::sqrt(bound.nmse) * rms;
  for (size_t i = 0; i < want.size(); ++i) {
    if (std::fabs(double{got[i]} - want[i]) <= furthest) continue;  // false for NaN
    return Apart(v, i, want[i], got[i]);
  }
  if (error <= bound.nmse * power) return Status();
  return Error(Code::kInternal, "NMSE {:.3g}, at most {:.3g}", error / power, bound.nmse);
}

}  // namespace

Status CompareBits(const mnw_value& v, std::span<const std::byte> want,
                   std::span<const std::byte> got) {
  const auto element = static_cast<size_t>(sdk::BlockOf(v.type).bytes);
  for (size_t i = 0; i < want.size(); i += element) {
    if (std::memcmp(&want[i], &got[i], element) == 0) continue;
    if (v.type != MNW_TYPE_F32) {
      return Error(Code::kInternal, "{} differs", Where(v, i / element));
    }
    float a, b;
    std::memcpy(&a, &want[i], sizeof a);
    std::memcpy(&b, &got[i], sizeof b);
    if (std::isnan(a) && std::isnan(b)) continue;
    return Error(Code::kInternal, "{} is {:a}, and {:a} there", Where(v, i / element), b, a);
  }
  return Status();
}

Status Compare(const mnw_value& v, std::span<const std::byte> want, std::span<const std::byte> got,
               const Bound& bound) {
  if (v.type != MNW_TYPE_F32 || bound.kind == Bound::Kind::kBits) return CompareBits(v, want, got);
  const std::vector<float> a = Floats(want), b = Floats(got);
  return bound.kind == Bound::Kind::kClose ? CompareClose(v, a, b, bound)
                                           : CompareNmse(v, a, b, bound);
}

}  // namespace minnow::conformance
