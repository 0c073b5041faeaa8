// BLAS and LAPACK from the OpenBLAS that NumPy has loaded, called through Fortran's interface with
// 64-bit integers.
#pragma once

#include <dlfcn.h>
#include <link.h>

#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace host_cuda {

using Integer = std::int64_t;
using Complex = std::complex<float>;
using DoubleComplex = std::complex<double>;

template <class T>
struct RealOf {
    using type = T;
};
template <class T>
struct RealOf<std::complex<T>> {
    using type = T;
};
template <class T>
using Real = typename RealOf<T>::type;
template <class T>
constexpr bool is_complex = !std::is_same_v<T, Real<T>>;

// The letter with which BLAS, cuBLAS and cuSOLVER begin a routine's name.
template <class T>
constexpr char letter = 0;
template <>
inline constexpr char letter<float> = 's';
template <>
inline constexpr char letter<double> = 'd';
template <>
inline constexpr char letter<Complex> = 'c';
template <>
inline constexpr char letter<DoubleComplex> = 'z';

template <class T>
T conjugate(T x) {
    if constexpr (is_complex<T>) {
        return std::conj(x);
    } else {
        return x;
    }
}

namespace openblas {

// How the wheels of NumPy (and OpenBLAS on its own) spell a routine that takes 64-bit integers.
inline std::vector<std::string> spellings(const std::string& name) {
    return {"scipy_" + name + "_64_", name + "_64_"};
}

inline void* find(void* library, const std::string& name) {
    for (const std::string& spelling : spellings(name)) {
        if (void* address = dlsym(library, spelling.c_str())) {
            return address;
        }
    }
    return nullptr;
}

inline int collect_openblas(dl_phdr_info* info, std::size_t, void* names) {
    const std::string name = info->dlpi_name ? info->dlpi_name : "";
    if (name.find("openblas") != std::string::npos) {
        static_cast<std::vector<std::string>*>(names)->push_back(name);
    }
    return 0;
}

// SciPy may have loaded an OpenBLAS of its own, with 32-bit integers: the symbols decide.
inline void* loaded_library() {
    std::vector<std::string> names;
    dl_iterate_phdr(collect_openblas, &names);
    for (const std::string& name : names) {
        void* library = dlopen(name.c_str(), RTLD_LAZY | RTLD_NOLOAD);
        if (library && find(library, "dgetrf")) {
            return library;
        }
    }
    throw std::runtime_error(
        "no OpenBLAS with 64-bit integers is loaded in this process: no loaded library with "
        "'openblas' in its name has the symbol scipy_dgetrf_64_ or dgetrf_64_. Install NumPy from "
        "its wheel and import it first, or set HOST_CUDA_LAPACK to the path of such a library");
}

inline void* named_library(const char* path) {
    void* library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (!library) {
        throw std::runtime_error(std::string("HOST_CUDA_LAPACK cannot be loaded: ") + dlerror());
    }
    if (!find(library, "dgetrf")) {
        throw std::runtime_error(
            std::string("HOST_CUDA_LAPACK is ") + path +
            ", which has no LAPACK with 64-bit integers: neither scipy_dgetrf_64_ nor dgetrf_64_");
    }
    return library;
}

inline void* library() {
    static void* const found = [] {
        const char* path = std::getenv("HOST_CUDA_LAPACK");
        return path ? named_library(path) : loaded_library();
    }();
    return found;
}

inline void* address(const std::string& name) {
    if (void* found = find(library(), name)) {
        return found;
    }
    throw std::runtime_error("the loaded OpenBLAS has no routine " + name);
}

}  // namespace openblas

// A routine of BLAS or LAPACK for numbers of type T, as `Routine<double>("getrf")`. Fortran takes
// each argument by its address, and after them the length of each character.
template <class T>
class Routine {
  public:
    explicit Routine(const std::string& name) : address_(openblas::address(letter<T> + name)) {}

    template <class... Arguments>
    void operator()(Arguments... arguments) const {
        call(widened(arguments)...);
    }

  private:
    static Integer widened(int x) {
        return x;
    }
    template <class X>
    static X widened(X x) {
        return x;
    }

    template <class X>
    static X* by_address(X* x) {
        return x;
    }
    template <class X>
    static const X* by_address(const X& x) {
        return &x;
    }

    static std::tuple<std::size_t> lengths(char) {
        return {1};
    }
    template <class X>
    static std::tuple<> lengths(X) {
        return {};
    }

    template <class... Arguments>
    void call(const Arguments&... arguments) const {
        const auto invoke = [&](auto... hidden) {
            using Function = void (*)(decltype(by_address(arguments))..., decltype(hidden)...);
            reinterpret_cast<Function>(address_)(by_address(arguments)..., hidden...);
        };
        std::apply(invoke, std::tuple_cat(lengths(arguments)...));
    }

    void* address_;
};

}  // namespace host_cuda
