// cuRAND's host interface. Every generator is Philox4x32-10 here, the counter-based generator of
// Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): the words
// of a stream are a function of the seed and of their position. So a seed and an offset repeat, but
// the numbers are not those of NVIDIA's library, whatever the type of the generator.
#include <array>
#include <cmath>
#include <cstdint>

#include "library.h"

namespace {

using namespace host_cuda;

constexpr Statuses STATUSES{/*handle*/ 101, /*value*/ 104, /*unsupported*/ 103, /*execution*/ 201};
constexpr int VERSION = 100400;
constexpr int FIRST_PSEUDO = 100;  // CURAND_RNG_PSEUDO_DEFAULT
constexpr int FIRST_QUASI = 200;   // CURAND_RNG_QUASI_DEFAULT

struct Generator {
    cudaStream_t stream = nullptr;
    std::uint64_t seed = 0;
    std::uint64_t position = 0;  // in words of 32 bits
};

Handles<Generator> generators;

template <class Body>
int with_generator(const char* function, void* handle, Body body) {
    return guarded(function, STATUSES, [&] { body(generators.find(handle)); });
}

// --- words ---------------------------------------------------------------------------------------

using Block = std::array<std::uint32_t, 4>;

std::uint32_t high(std::uint64_t x) {
    return std::uint32_t(x >> 32);
}
std::uint32_t low(std::uint64_t x) {
    return std::uint32_t(x);
}

// Ten rounds of multiplications, whose constants are the paper's.
Block philox(Block counter, std::uint64_t seed) {
    std::uint32_t key0 = low(seed);
    std::uint32_t key1 = high(seed);
    for (int round = 0; round < 10; round++) {
        const std::uint64_t a = std::uint64_t(0xD2511F53) * counter[0];
        const std::uint64_t b = std::uint64_t(0xCD9E8D57) * counter[2];
        counter = {high(b) ^ counter[1] ^ key0, low(b), high(a) ^ counter[3] ^ key1, low(a)};
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    return counter;
}

// A sequence of words. Numbers that need an unknown amount of words each have their own sequence,
// identified by `lane`.
class Words {
  public:
    Words(std::uint64_t seed, std::uint64_t position, std::uint64_t lane = 0)
        : seed_(seed), position_(position), lane_(lane) {}

    std::uint32_t next() {
        if (position_ / 4 != current_) {
            current_ = position_ / 4;
            block_ = philox({low(current_), high(current_), low(lane_), high(lane_)}, seed_);
        }
        return block_[position_++ % 4];
    }

    std::uint64_t next64() {
        const std::uint64_t first = next();
        return first | std::uint64_t(next()) << 32;
    }

  private:
    std::uint64_t seed_;
    std::uint64_t position_;
    std::uint64_t lane_;
    std::uint64_t current_ = ~std::uint64_t(0);
    Block block_{};
};

// --- numbers: 0 is excluded and 1 included, as in cuRAND -----------------------------------------

float uniform(Words& words, float) {
    return float(words.next()) * 0x1p-32f + 0x1p-33f;
}

double uniform(Words& words, double) {
    return double(words.next64() >> 11) * 0x1p-53 + 0x1p-53;
}

template <class T>
constexpr int words_of = sizeof(T) / sizeof(std::uint32_t);

// Two independent normal numbers, by Box and Muller.
template <class T>
std::array<T, 2> normal_pair(Words& words, T mean, T deviation) {
    const T radius = std::sqrt(-2 * std::log(uniform(words, T())));
    const T angle = T(2 * M_PI) * uniform(words, T());
    return {mean + deviation * radius * std::cos(angle),
            mean + deviation * radius * std::sin(angle)};
}

// Beyond this mean the normal approximation is taken: its skewness, 1 / sqrt(mean), is below 0.02.
constexpr double LARGE_MEAN = 4000;

// The arrivals of a process with rate 1 until the time `mean`.
unsigned poisson(Words& words, double mean) {
    if (mean > LARGE_MEAN) {
        const double x = normal_pair(words, mean, std::sqrt(mean))[0];
        return unsigned(std::max(0.0, std::floor(x + 0.5)));
    }
    unsigned count = 0;
    double time = -std::log(uniform(words, double()));
    while (time <= mean) {
        count++;
        time -= std::log(uniform(words, double()));
    }
    return count;
}

// Fills an array from the generator's position on, which advances at the call: the numbers do not
// depend on when the work runs. `fill(words)` draws them.
template <class T, class Fill>
void draw(const char* function, Generator& g, T* out, std::size_t n, std::uint64_t words_used,
          Fill fill) {
    const std::uint64_t seed = g.seed;
    const std::uint64_t position = g.position;
    g.position += words_used;
    launch(function, g.stream, [=] {
        require_array(out, n, "the output");
        fill(Words(seed, position));
    });
}

// n numbers of type T, each made of one word or two.
template <class T, class Next>
int each(const char* function, void* handle, T* out, std::size_t n, Next next) {
    return with_generator(function, handle, [&](Generator& g) {
        draw(function, g, out, n, n * words_of<T>, [=](Words words) {
            for (std::size_t i = 0; i < n; i++) {
                out[i] = next(words);
            }
        });
    });
}

// Normal numbers come in pairs; cuRAND too returns only an even number of them.
template <class T, class Transform>
int normal(const char* function, void* handle, T* out, std::size_t n, T mean, T deviation,
           Transform transform) {
    constexpr int LENGTH_NOT_MULTIPLE = 105;
    if (n % 2 == 1) {
        std::fprintf(stderr, "host_cuda: %s: expected an even number of numbers, given %zu\n",
                     function, n);
        return LENGTH_NOT_MULTIPLE;
    }
    return with_generator(function, handle, [&](Generator& g) {
        draw(function, g, out, n, n * words_of<T>, [=](Words words) {
            for (std::size_t i = 0; i < n; i += 2) {
                const std::array<T, 2> pair = normal_pair(words, mean, deviation);
                out[i] = transform(pair[0]);
                out[i + 1] = transform(pair[1]);
            }
        });
    });
}

template <class T>
T unchanged(T x) {
    return x;
}
template <class T>
T exponential(T x) {
    return std::exp(x);
}

}  // namespace

API int curandGetVersion(int* version) {
    *version = VERSION;
    return 0;
}

API int curandCreateGenerator(void** generator, int type) {
    return guarded("curandCreateGenerator", STATUSES, [&] {
        require(type >= FIRST_PSEUDO && type < FIRST_QUASI, Refused::unsupported,
                "quasirandom generators are not emulated");
        *generator = generators.create();
    });
}

API int curandDestroyGenerator(void* generator) {
    return guarded("curandDestroyGenerator", STATUSES, [&] { generators.destroy(generator); });
}

API int curandSetStream(void* generator, cudaStream_t stream) {
    return with_generator("curandSetStream", generator, [&](Generator& g) { g.stream = stream; });
}

API int curandSetPseudoRandomGeneratorSeed(void* generator, unsigned long long seed) {
    return with_generator("curandSetPseudoRandomGeneratorSeed", generator, [&](Generator& g) {
        g.seed = seed;
        g.position = 0;
    });
}

API int curandSetGeneratorOffset(void* generator, unsigned long long offset) {
    return with_generator("curandSetGeneratorOffset", generator,
                          [&](Generator& g) { g.position = offset; });
}

// All orderings give the numbers in the same order.
API int curandSetGeneratorOrdering(void* generator, int) {
    return with_generator("curandSetGeneratorOrdering", generator, [](Generator&) {});
}

API int curandGenerate(void* generator, unsigned* out, std::size_t n) {
    return each("curandGenerate", generator, out, n, [](Words& words) { return words.next(); });
}

API int curandGenerateLongLong(void* generator, unsigned long long* out, std::size_t n) {
    return each("curandGenerateLongLong", generator, out, n,
                [](Words& words) { return words.next64(); });
}

API int curandGenerateUniform(void* generator, float* out, std::size_t n) {
    return each("curandGenerateUniform", generator, out, n,
                [](Words& words) { return uniform(words, float()); });
}

API int curandGenerateUniformDouble(void* generator, double* out, std::size_t n) {
    return each("curandGenerateUniformDouble", generator, out, n,
                [](Words& words) { return uniform(words, double()); });
}

API int curandGenerateNormal(void* generator, float* out, std::size_t n, float mean,
                             float deviation) {
    return normal("curandGenerateNormal", generator, out, n, mean, deviation, unchanged<float>);
}

API int curandGenerateNormalDouble(void* generator, double* out, std::size_t n, double mean,
                                   double deviation) {
    return normal("curandGenerateNormalDouble", generator, out, n, mean, deviation,
                  unchanged<double>);
}

API int curandGenerateLogNormal(void* generator, float* out, std::size_t n, float mean,
                                float deviation) {
    return normal("curandGenerateLogNormal", generator, out, n, mean, deviation,
                  exponential<float>);
}

API int curandGenerateLogNormalDouble(void* generator, double* out, std::size_t n, double mean,
                                      double deviation) {
    return normal("curandGenerateLogNormalDouble", generator, out, n, mean, deviation,
                  exponential<double>);
}

// Each number has a lane of its own, because it draws as many words as it needs.
API int curandGeneratePoisson(void* generator, unsigned* out, std::size_t n, double mean) {
    return with_generator("curandGeneratePoisson", generator, [&](Generator& g) {
        require_value(mean > 0, "the mean is " + std::to_string(mean) + ", expected more than 0");
        const std::uint64_t seed = g.seed;
        const std::uint64_t first = g.position;
        draw("curandGeneratePoisson", g, out, n, n, [=](Words) {
            for (std::size_t i = 0; i < n; i++) {
                Words words(seed, 0, 1 + first + i);
                out[i] = poisson(words, mean);
            }
        });
    });
}
