// Counts of what the device was asked to do, for device.py.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>

#include "core.h"

namespace host_cuda {
namespace {

constexpr std::size_t kinds = static_cast<std::size_t>(Event::number_of_events);
constexpr std::array<const char*, kinds> labels = {
    "launch",   "product", "to_device", "to_host", "on_device", "memset", "synchronize",
    "allocate", "free",    "compile",   "record",  "wait",      "graph",
};

std::array<std::atomic<long long>, kinds> counted{};
std::atomic<bool> logging{false};
std::atomic<bool> empty{false};
std::mutex log_mutex;
std::string log_text;

}  // namespace

void count(Event kind, const char* name) {
    std::size_t index = static_cast<std::size_t>(kind);
    counted[index].fetch_add(1, std::memory_order_relaxed);
    if (!logging.load(std::memory_order_relaxed)) {
        return;
    }
    std::lock_guard<std::mutex> lock(log_mutex);
    log_text.append(labels[index]).append(" ").append(name).append("\n");
}

void count(Event kind, const std::string& name) {
    count(kind, name.c_str());
}

bool empty_launches() {
    return empty.load(std::memory_order_relaxed);
}

}  // namespace host_cuda

using namespace host_cuda;

// Writes at most `size` counts; returns how many there are.
API int host_cuda_counts(long long* out, int size) {
    int written = std::min<int>(size, kinds);
    for (int i = 0; i < written; i++) {
        out[i] = counted[i].load(std::memory_order_relaxed);
    }
    return kinds;
}

API void host_cuda_set_empty(int on) {
    empty = on != 0;
}

// Starts a new log of names, or ends it.
API void host_cuda_logging(int on) {
    std::lock_guard<std::mutex> lock(log_mutex);
    logging = on != 0;
    log_text.clear();
}

// Copies at most `size` bytes of the log; returns how long it is.
API int host_cuda_log(char* out, int size) {
    std::lock_guard<std::mutex> lock(log_mutex);
    int length = static_cast<int>(log_text.size());
    if (out) {
        std::memcpy(out, log_text.data(), std::min(size, length));
    }
    return length;
}
