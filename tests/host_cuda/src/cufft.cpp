// cuFFT on the host: a discrete Fourier transform that splits lengths into their prime factors, in
// float64 whatever the type. Transforms are not normalized, as on a device.
#include <complex>
#include <cstdint>
#include <limits>
#include <vector>

#include "library.h"

namespace {

using namespace host_cuda;
using Value = std::complex<double>;
using Values = std::vector<Value>;

constexpr Statuses STATUSES{/*handle*/ 1, /*value*/ 4, /*unsupported*/ 16, /*execution*/ 6};
constexpr int VERSION = 12000;
constexpr int MAX_RANK = 3;

// The values of cufftType.
enum Type {
    C2C = 0x29,
    R2C = 0x2a,
    C2R = 0x2c,
    Z2Z = 0x69,
    D2Z = 0x6a,
    Z2D = 0x6c,
};

// --- the transform -------------------------------------------------------------------------------

int smallest_factor(int n) {
    for (int p = 2; p * p <= n; p++) {
        if (n % p == 0) {
            return p;
        }
    }
    return n;
}

// exp(sign 2 pi i k / n) for all k. One table serves all levels of a transform, whose lengths
// divide n.
Values roots_of_unity(int n, int sign) {
    Values roots(n);
    for (int k = 0; k < n; k++) {
        roots[k] = std::polar(1.0, sign * 2 * M_PI * k / n);
    }
    return roots;
}

// Y[k] = sum over j of X[j] root^(j k), where X[j] is x[j * step]. With n = p m, the p transforms
// of length m over every p-th element are combined.
void transform(const Value* x, int n, int step, const Values& roots, Value* y) {
    if (n == 1) {
        y[0] = x[0];
        return;
    }
    const int total = int(roots.size());
    const int stride = total / n;
    const int p = smallest_factor(n);
    const int m = n / p;
    Values parts(n);
    for (int r = 0; r < p; r++) {
        transform(x + std::ptrdiff_t(r) * step, m, step * p, roots, &parts[std::size_t(r) * m]);
    }
    for (int k = 0; k < n; k++) {
        Value sum = 0;
        for (int r = 0; r < p; r++) {
            const auto turn = std::int64_t(r) * k % n;
            sum += parts[std::size_t(r) * m + k % m] * roots[turn * stride];
        }
        y[k] = sum;
    }
}

// The transform along one axis of a dense array, whose shape is outer x n x inner.
void transform_axis(Values& values, int n, std::size_t inner, int sign) {
    const Values roots = roots_of_unity(n, sign);
    Values line(n);
    Values result(n);
    for (std::size_t start = 0; start < values.size(); start += n * inner) {
        for (std::size_t i = start; i < start + inner; i++) {
            for (int k = 0; k < n; k++) {
                line[k] = values[i + k * inner];
            }
            transform(line.data(), n, 1, roots, result.data());
            for (int k = 0; k < n; k++) {
                values[i + k * inner] = result[k];
            }
        }
    }
}

// All axes but the last, whose length in `values` is `last`.
void transform_outer_axes(Values& values, const std::vector<int>& shape, int last, int sign) {
    std::size_t inner = last;
    for (int axis = int(shape.size()) - 2; axis >= 0; axis--) {
        transform_axis(values, shape[axis], inner, sign);
        inner *= shape[axis];
    }
}

// Extends lines of n / 2 + 1 elements to n by X[n - k] = conj(X[k]). The imaginary parts that a
// real result cannot have, of the first element and of the middle one, are ignored.
Values with_mirror_images(const Values& half, int n) {
    const int kept = n / 2 + 1;
    Values full;
    full.reserve(half.size() / kept * n);
    for (std::size_t line = 0; line < half.size(); line += kept) {
        for (int k = 0; k < n; k++) {
            const Value x = half[line + (k < kept ? k : n - k)];
            const bool real = k == 0 || 2 * k == n;
            full.push_back(real ? Value(x.real()) : k < kept ? x : std::conj(x));
        }
    }
    return full;
}

// --- plans ---------------------------------------------------------------------------------------

// Where the elements of a side lie: the one with the index (i, j, k) of the transform `b` of the
// batch is b * distance + ((i * embed[1] + j) * embed[2] + k) * stride.
struct Layout {
    std::vector<int> embed;
    long long stride = 1;
    long long distance = 0;
};

struct Plan {
    cudaStream_t stream = nullptr;
    bool allocates_work_area = true;
    bool made = false;
    int type = 0;
    int count = 0;
    std::vector<int> shape;
    bool default_layout = true;
    Layout input;
    Layout output;
    std::size_t work_size = 0;
    const char* work_area = nullptr;
};

Handles<Plan, int> plans;

template <class Body>
int with_plan(const char* function, int number, Body body) {
    return guarded(function, STATUSES, [&] { body(plans.find(number)); });
}

bool from_real(int type) {
    return type == R2C || type == D2Z;
}
bool to_real(int type) {
    return type == C2R || type == Z2D;
}

std::size_t elements(const std::vector<int>& shape) {
    std::size_t n = 1;
    for (const int length : shape) {
        n *= length;
    }
    return n;
}

// A shape with the last length n replaced by n / 2 + 1, which is what is kept of the spectrum of
// real numbers.
std::vector<int> half(std::vector<int> shape) {
    shape.back() = shape.back() / 2 + 1;
    return shape;
}

// The layout without gaps. In place, a real side is padded to the lines of its complex side.
Layout dense(const Plan& plan, bool complex_half, bool real_side, bool in_place) {
    Layout layout;
    layout.embed = complex_half ? half(plan.shape) : plan.shape;
    if (real_side && in_place) {
        layout.embed.back() = 2 * (plan.shape.back() / 2 + 1);
    }
    layout.distance = elements(layout.embed);
    return layout;
}

void make_plan(Plan& plan, const std::vector<int>& shape, const int* inembed, int istride,
               int idist, const int* onembed, int ostride, int odist, int type, int count,
               std::size_t* work_size) {
    require(!plan.made, Refused::handle, "the plan has been made already");
    require_value(
        type == C2C || type == R2C || type == C2R || type == Z2Z || type == D2Z || type == Z2D,
        "the type " + std::to_string(type) + " is none of cufftType");
    require_value(count >= 1, "the batch is " + std::to_string(count) + ", expected 1 or more");
    for (const int length : shape) {
        require_value(length >= 1,
                      "a length is " + std::to_string(length) + ", expected 1 or more");
    }
    plan.type = type;
    plan.count = count;
    plan.shape = shape;
    plan.default_layout = !inembed || !onembed;
    if (!plan.default_layout) {
        require_value(istride >= 1 && ostride >= 1, "expected strides of 1 or more");
        plan.input = {std::vector<int>(inembed, inembed + shape.size()), istride, idist};
        plan.output = {std::vector<int>(onembed, onembed + shape.size()), ostride, odist};
    }
    const std::size_t element = type >= Z2Z ? sizeof(double) : sizeof(float);
    plan.work_size = 2 * element * elements(shape) * count;
    *work_size = plan.work_size;
    plan.made = true;
}

// Calls `visit(offset)` for each element of one transform, in the order of a dense array.
template <class Visit>
void each_element(const std::vector<int>& shape, const Layout& layout, long long start,
                  Visit visit) {
    std::vector<int> index(shape.size(), 0);
    for (std::size_t left = elements(shape); left > 0; left--) {
        long long offset = 0;
        for (std::size_t axis = 0; axis < shape.size(); axis++) {
            offset = offset * (axis == 0 ? 1 : layout.embed[axis]) + index[axis];
        }
        visit(start + offset * layout.stride);
        for (int axis = int(shape.size()) - 1; axis >= 0 && ++index[axis] == shape[axis]; axis--) {
            index[axis] = 0;
        }
    }
}

// The elements from the first to the last that a batch touches: what must be device memory.
std::size_t span(const std::vector<int>& shape, const Layout& layout, int count) {
    long long last = 0;
    for (std::size_t axis = 0; axis < shape.size(); axis++) {
        last = last * (axis == 0 ? 1 : layout.embed[axis]) + shape[axis] - 1;
    }
    return std::size_t((count - 1) * layout.distance + last * layout.stride + 1);
}

// One side of a plan: the shape of its arrays, and where their elements lie.
struct Side {
    std::vector<int> shape;
    Layout layout;

    long long start(int b) const {
        return b * layout.distance;
    }
};

Side input_side(const Plan& plan, bool in_place) {
    const bool halved = to_real(plan.type);
    return {halved ? half(plan.shape) : plan.shape,
            plan.default_layout ? dense(plan, halved, from_real(plan.type), in_place) : plan.input};
}

Side output_side(const Plan& plan, bool in_place) {
    const bool halved = from_real(plan.type);
    return {halved ? half(plan.shape) : plan.shape,
            plan.default_layout ? dense(plan, halved, to_real(plan.type), in_place) : plan.output};
}

// The whole result of one transform, even if only half of it is kept.
Values transformed(const Plan& plan, Values values, int sign) {
    const int n = plan.shape.back();
    if (to_real(plan.type)) {
        transform_outer_axes(values, plan.shape, n / 2 + 1, sign);
        values = with_mirror_images(values, n);
        transform_axis(values, n, 1, sign);
    } else {
        transform_axis(values, n, 1, sign);
        transform_outer_axes(values, plan.shape, n, sign);
    }
    return values;
}

template <class In>
Values read(const Side& side, int b, const In* in) {
    Values values;
    each_element(side.shape, side.layout, side.start(b),
                 [&](long long offset) { values.emplace_back(in[offset]); });
    return values;
}

// Writes the first elements of each line of n.
template <class Out>
void write(const Side& side, int b, const Values& values, std::size_t n, Out* out) {
    const std::size_t kept = side.shape.back();
    std::size_t position = 0;
    each_element(side.shape, side.layout, side.start(b), [&](long long offset) {
        const Value x = values[position / kept * n + position % kept];
        position++;
        if constexpr (std::is_floating_point_v<Out>) {
            out[offset] = Out(x.real());
        } else {
            out[offset] = Out(x);
        }
    });
}

// A device may overwrite the input of a complex-to-real transform: a program that reads it
// afterwards must not go unnoticed.
template <class In>
void spoil(const Side& side, int b, In* in) {
    const auto nan = std::numeric_limits<typename In::value_type>::quiet_NaN();
    each_element(side.shape, side.layout, side.start(b),
                 [&](long long offset) { in[offset] = In(nan, nan); });
}

// Computes a batch. Everything is read before anything is written: a transform may be in place.
template <class In, class Out>
void execute(const Plan& plan, In* in, Out* out, int sign) {
    const bool in_place = static_cast<const void*>(in) == static_cast<const void*>(out);
    const Side input = input_side(plan, in_place);
    const Side output = output_side(plan, in_place);
    require_array(in, span(input.shape, input.layout, plan.count), "the input");
    require_array(out, span(output.shape, output.layout, plan.count), "the output");
    std::vector<Values> results;
    for (int b = 0; b < plan.count; b++) {
        results.push_back(transformed(plan, read(input, b, in), sign));
    }
    if constexpr (std::is_floating_point_v<Out>) {
        for (int b = 0; b < plan.count && !in_place; b++) {
            spoil(input, b, in);
        }
    }
    for (int b = 0; b < plan.count; b++) {
        write(output, b, results[b], plan.shape.back(), out);
    }
}

template <class In, class Out>
int submit_plan(const char* function, int number, int type, In* in, Out* out, int sign) {
    return with_plan(function, number, [&](Plan& plan) {
        require(plan.made, Refused::handle, "the plan has not been made");
        require_value(plan.type == type, "the plan is of another type");
        require_value(sign == -1 || sign == 1,
                      "the direction is " + std::to_string(sign) + ", expected -1 or 1");
        require_value(plan.allocates_work_area || plan.work_area || plan.work_size == 0,
                      "the plan has no work area, and may not allocate one");
        launch(function, plan.stream, [=, plan = plan] {
            if (!plan.allocates_work_area) {
                require_array(plan.work_area, plan.work_size, "the work area");
            }
            execute(plan, in, out, sign);
        });
    });
}

}  // namespace

API int cufftGetVersion(int* version) {
    *version = VERSION;
    return 0;
}

API int cufftCreate(int* plan) {
    *plan = plans.create();
    return 0;
}

API int cufftDestroy(int plan) {
    return guarded("cufftDestroy", STATUSES, [&] { plans.destroy(plan); });
}

API int cufftSetAutoAllocation(int plan, int allocates) {
    return with_plan("cufftSetAutoAllocation", plan,
                     [&](Plan& p) { p.allocates_work_area = allocates != 0; });
}

API int cufftSetWorkArea(int plan, void* area) {
    return with_plan("cufftSetWorkArea", plan,
                     [&](Plan& p) { p.work_area = static_cast<const char*>(area); });
}

API int cufftSetStream(int plan, cudaStream_t stream) {
    return with_plan("cufftSetStream", plan, [&](Plan& p) { p.stream = stream; });
}

API int cufftMakePlan1d(int plan, int n, int type, int count, std::size_t* work_size) {
    return with_plan("cufftMakePlan1d", plan, [&](Plan& p) {
        make_plan(p, {n}, nullptr, 1, 0, nullptr, 1, 0, type, count, work_size);
    });
}

API int cufftMakePlanMany(int plan, int rank, int* n, int* inembed, int istride, int idist,
                          int* onembed, int ostride, int odist, int type, int count,
                          std::size_t* work_size) {
    return with_plan("cufftMakePlanMany", plan, [&](Plan& p) {
        require_value(rank >= 1 && rank <= MAX_RANK,
                      "the rank is " + std::to_string(rank) + ", expected 1 to 3");
        make_plan(p, std::vector<int>(n, n + rank), inembed, istride, idist, onembed, ostride,
                  odist, type, count, work_size);
    });
}

using Complex = std::complex<float>;
using DoubleComplex = std::complex<double>;

API int cufftExecC2C(int plan, Complex* in, Complex* out, int direction) {
    return submit_plan("cufftExecC2C", plan, C2C, in, out, direction);
}

API int cufftExecZ2Z(int plan, DoubleComplex* in, DoubleComplex* out, int direction) {
    return submit_plan("cufftExecZ2Z", plan, Z2Z, in, out, direction);
}

API int cufftExecR2C(int plan, float* in, Complex* out) {
    return submit_plan("cufftExecR2C", plan, R2C, in, out, -1);
}

API int cufftExecD2Z(int plan, double* in, DoubleComplex* out) {
    return submit_plan("cufftExecD2Z", plan, D2Z, in, out, -1);
}

API int cufftExecC2R(int plan, Complex* in, float* out) {
    return submit_plan("cufftExecC2R", plan, C2R, in, out, 1);
}

API int cufftExecZ2D(int plan, DoubleComplex* in, double* out) {
    return submit_plan("cufftExecZ2D", plan, Z2D, in, out, 1);
}
