// The environment variables that configure the emulated device.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core.h"

namespace host_cuda {
namespace {

std::string text(const char* name, const std::string& fallback) {
    const char* value = std::getenv(name);
    return value && *value ? value : fallback;
}

// The number that a variable holds. A process whose variable holds something else ends: a setting
// that is ignored would hide what a test is for.
unsigned long long number(const char* name, unsigned long long fallback) {
    std::string value = text(name, "");
    if (value.empty()) {
        return fallback;
    }
    bool digits =
        std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits || value.size() > 18) {
        complain(std::string(name) + ": expected a whole number from 0, given '" + value + "'");
        std::exit(2);
    }
    return std::stoull(value);
}

Settings read() {
    Settings result;
    result.folder = text("HOST_CUDA", ".");
    result.kernels = text("HOST_CUDA_KERNELS", result.folder + "/kernels");
    result.devices = static_cast<int>(number("HOST_CUDA_DEVICES", 1));
    result.memory = number("HOST_CUDA_MEMORY", 4ull << 30);
    result.peers = number("HOST_CUDA_PEERS", 0) != 0;
    result.shuffle = !text("HOST_CUDA_SHUFFLE", "").empty();
    result.seed = number("HOST_CUDA_SHUFFLE", 0);
    return result;
}

}  // namespace

const Settings& settings() {
    static const Settings once = read();
    return once;
}

void complain(const std::string& message) {
    std::fprintf(stderr, "host_cuda: %s\n", message.c_str());
    std::fflush(stderr);
}

}  // namespace host_cuda
