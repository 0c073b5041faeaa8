// Device memory: pages of the host's, each allocation followed by a guard page.
//
// Fresh memory holds the byte 0xFF: not-a-number in every floating-point type, -1 in the integers.
// Freed memory becomes inaccessible and its addresses stay unused for a while, so that a kernel
// that still uses it fails instead of reading what came later.
#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>

#include "core.h"

namespace host_cuda {
namespace {

constexpr std::size_t alignment = 512;    // what CUDA promises is 256
constexpr std::size_t kept_freed = 4096;  // freed allocations whose addresses stay unused
constexpr int fresh = 0xFF;

// All allocations of the process.
class Memory {
  public:
    cudaError_t allocate(void** result, std::size_t size, int device, Kind kind);
    cudaError_t release(void* p, bool pinned);
    cudaError_t add(void* p, std::size_t size, int device, Kind kind);
    cudaError_t remove(void* p, Kind kind);
    std::optional<Allocation> find(const void* p);
    std::optional<Allocation> find_freed(const void* p);
    std::size_t used(int device);

  private:
    void forget_oldest();

    std::mutex mutex_;
    std::map<std::uintptr_t, Allocation> live_;
    std::deque<Allocation> freed_;
    std::map<int, std::size_t> used_;
};

Memory& memory() {
    static Memory* all = new Memory;  // never destroyed: the process may free memory as it exits
    return *all;
}

std::size_t round_up(std::size_t size, std::size_t unit) {
    return (size + unit - 1) / unit * unit;
}

// Whether the allocation counts against the memory of its device.
bool on_device(Kind kind) {
    return kind == Kind::device || kind == Kind::managed;
}

// Accessible pages with `size` bytes at their end, up to the alignment, and then a guard page.
std::optional<Allocation> map_guarded(std::size_t size, int device, Kind kind) {
    std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    std::size_t data = round_up(size, alignment);
    std::size_t pages = round_up(data, page);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* mapping = mmap(nullptr, pages + page, PROT_NONE, flags, -1, 0);
    if (mapping == MAP_FAILED) {
        return std::nullopt;
    }
    if (mprotect(mapping, pages, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapping, pages + page);
        return std::nullopt;
    }
    std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(mapping) + pages - data;
    return Allocation{begin, size, device, kind, mapping, pages + page};
}

cudaError_t Memory::allocate(void** result, std::size_t size, int device, Kind kind) {
    *result = nullptr;
    if (size == 0) {
        return cudaSuccess;
    }
    std::lock_guard<std::mutex> lock(mutex_);
    bool counts = on_device(kind);
    if (counts && size > settings().memory - used_[device]) {
        return cudaErrorMemoryAllocation;
    }
    std::optional<Allocation> made = map_guarded(size, device, kind);
    if (!made) {
        return cudaErrorMemoryAllocation;
    }
    std::memset(reinterpret_cast<void*>(made->begin), fresh, size);
    live_[made->begin] = *made;
    if (counts) {
        used_[device] += size;
    }
    *result = reinterpret_cast<void*>(made->begin);
    return cudaSuccess;
}

cudaError_t Memory::release(void* p, bool pinned) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = live_.find(reinterpret_cast<std::uintptr_t>(p));
    if (found == live_.end()) {
        return cudaErrorInvalidValue;
    }
    Allocation block = found->second;
    bool fits = pinned ? block.kind == Kind::pinned : on_device(block.kind);
    if (!fits) {
        return cudaErrorInvalidValue;
    }
    if (on_device(block.kind)) {
        used_[block.device] -= block.size;
    }
    live_.erase(found);
    madvise(block.mapping, block.mapped, MADV_DONTNEED);
    mprotect(block.mapping, block.mapped, PROT_NONE);
    freed_.push_back(block);
    if (freed_.size() > kept_freed) {
        forget_oldest();
    }
    return cudaSuccess;
}

void Memory::forget_oldest() {
    Allocation oldest = freed_.front();
    freed_.pop_front();
    munmap(oldest.mapping, oldest.mapped);
}

cudaError_t Memory::add(void* p, std::size_t size, int device, Kind kind) {
    std::lock_guard<std::mutex> lock(mutex_);
    Allocation block{reinterpret_cast<std::uintptr_t>(p), size, device, kind, nullptr, 0};
    bool added = live_.emplace(block.begin, block).second;
    return added ? cudaSuccess : cudaErrorHostMemoryAlreadyRegistered;
}

cudaError_t Memory::remove(void* p, Kind kind) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = live_.find(reinterpret_cast<std::uintptr_t>(p));
    if (found == live_.end() || found->second.kind != kind) {
        return cudaErrorHostMemoryNotRegistered;
    }
    live_.erase(found);
    return cudaSuccess;
}

std::optional<Allocation> Memory::find(const void* p) {
    std::uintptr_t address = reinterpret_cast<std::uintptr_t>(p);
    std::lock_guard<std::mutex> lock(mutex_);
    auto next = live_.upper_bound(address);
    if (next == live_.begin()) {
        return std::nullopt;
    }
    const Allocation& block = std::prev(next)->second;
    return address <= block.end() ? std::optional<Allocation>(block) : std::nullopt;
}

std::optional<Allocation> Memory::find_freed(const void* p) {
    std::uintptr_t address = reinterpret_cast<std::uintptr_t>(p);
    std::lock_guard<std::mutex> lock(mutex_);
    for (const Allocation& block : freed_) {
        if (block.begin <= address && address < block.end()) {
            return block;
        }
    }
    return std::nullopt;
}

std::size_t Memory::used(int device) {
    std::lock_guard<std::mutex> lock(mutex_);
    return used_[device];
}

// The allocation that holds all the bytes.
std::optional<Allocation> holding(const void* p, std::size_t bytes) {
    std::optional<Allocation> block = memory().find(p);
    if (!block || bytes > block->end() - reinterpret_cast<std::uintptr_t>(p)) {
        return std::nullopt;
    }
    return block;
}

const char* label(Kind kind) {
    switch (kind) {
        case Kind::device:
            return "memory";
        case Kind::managed:
            return "managed memory";
        case Kind::pinned:
        case Kind::registered:
            return "pinned memory";
        case Kind::symbol:
            return "a variable";
    }
    return "";
}

std::string describe_block(const Allocation& block) {
    char text[160];
    std::snprintf(text, sizeof text, "%s of device %d (%zu bytes from 0x%" PRIxPTR ")",
                  label(block.kind), block.device, block.size, block.begin);
    return text;
}

}  // namespace

std::optional<Allocation> find_allocation(const void* p) {
    return memory().find(p);
}

bool is_device_memory(const void* p, std::size_t bytes) {
    if (bytes == 0) {
        return true;
    }
    std::optional<Allocation> block = holding(p, bytes);
    if (!block) {
        return false;
    }
    return block->kind != Kind::device || may_access(current_device(), block->device);
}

bool on_any_device(const void* p, std::size_t bytes) {
    std::optional<Allocation> block = holding(p, bytes);
    return block && block->kind != Kind::pinned && block->kind != Kind::registered;
}

bool is_pinned(const void* p, std::size_t bytes) {
    std::optional<Allocation> block = holding(p, bytes);
    return block && (block->kind == Kind::pinned || block->kind == Kind::registered);
}

std::string describe(const void* p) {
    if (std::optional<Allocation> block = memory().find(p)) {
        return describe_block(*block);
    }
    if (std::optional<Allocation> block = memory().find_freed(p)) {
        return "freed " + describe_block(*block);
    }
    return p ? "no memory of a device" : "a null pointer";
}

void require_memory(const void* p, std::size_t bytes, const char* name) {
    if (is_device_memory(p, bytes)) {
        return;
    }
    char text[160];
    std::snprintf(text, sizeof text, ": device %d cannot use the %zu bytes from %p, which is ",
                  current_device(), bytes, p);
    complain(name + std::string(text) + describe(p));
    throw Failure{cudaErrorIllegalAddress};
}

void register_symbol(void* p, std::size_t bytes) {
    memory().add(p, bytes, current_device(), Kind::symbol);
}

void* allocate_workspace(std::size_t bytes) {
    void* result = nullptr;
    memory().allocate(&result, bytes, current_device(), Kind::device);
    return result;
}

void free_workspace(void* p) {
    if (p) {
        memory().release(p, false);
    }
}

}  // namespace host_cuda

using namespace host_cuda;

namespace {

cudaError_t allocate_counted(void** p, std::size_t size, Kind kind, const char* name) {
    count(Event::allocate, name);
    if (cudaError_t error = use_device()) {
        return report(error);
    }
    if (cudaError_t error = unsafe_call()) {
        return report(error);
    }
    return report(memory().allocate(p, size, current_device(), kind));
}

}  // namespace

API cudaError_t cudaMalloc(void** p, size_t size) {
    return allocate_counted(p, size, Kind::device, "cudaMalloc");
}

API cudaError_t cudaMallocManaged(void** p, size_t size, unsigned) {
    return allocate_counted(p, size, Kind::managed, "cudaMallocManaged");
}

API cudaError_t cudaMallocAsync(void** p, size_t size, cudaStream_t stream) {
    if (std::shared_ptr<Capture> capture = capture_of(stream)) {
        complain("cudaMallocAsync: memory of graphs is not emulated");
        return report(capture->invalidate(cudaErrorStreamCaptureUnsupported));
    }
    return allocate_counted(p, size, Kind::device, "cudaMallocAsync");
}

// It waits for the device, as CUDA's does, so that late work can still use the memory.
API cudaError_t cudaFree(void* p) {
    count(Event::free, "cudaFree");
    if (!p) {
        return cudaSuccess;
    }
    if (cudaError_t error = unsafe_call()) {
        return report(error);
    }
    std::optional<Allocation> block = find_allocation(p);
    if (!block) {
        return report(cudaErrorInvalidValue);
    }
    cudaError_t error = synchronize_device(block->device);
    cudaError_t released = memory().release(p, false);
    return report(error ? error : released);
}

API cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
    count(Event::free, "cudaFreeAsync");
    return report(enqueue(stream, [p] {
        cudaError_t error = p ? memory().release(p, false) : cudaSuccess;
        if (error) {
            throw Failure{error};
        }
    }));
}

API cudaError_t cudaHostAlloc(void** p, size_t size, unsigned) {
    return report(memory().allocate(p, size, current_device(), Kind::pinned));
}

API cudaError_t cudaFreeHost(void* p) {
    if (!p) {
        return cudaSuccess;
    }
    cudaError_t error = synchronize_device(current_device());
    cudaError_t released = memory().release(p, true);
    return report(error ? error : released);
}

API cudaError_t cudaHostRegister(void* p, size_t size, unsigned) {
    return report(memory().add(p, size, current_device(), Kind::registered));
}

API cudaError_t cudaHostUnregister(void* p) {
    return report(memory().remove(p, Kind::registered));
}

API cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
    *total = settings().memory;
    *available = *total - memory().used(current_device());
    return cudaSuccess;
}

API cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
    std::memset(attributes, 0, sizeof *attributes);
    std::optional<Allocation> block = holding(p, 1);
    void* address = const_cast<void*>(p);
    if (!block) {
        attributes->type = cudaMemoryTypeUnregistered;
        attributes->device = -2;  // cudaInvalidDeviceId
        attributes->hostPointer = address;
        return cudaSuccess;
    }
    attributes->device = block->device;
    attributes->devicePointer = address;
    bool pinned = block->kind == Kind::pinned || block->kind == Kind::registered;
    bool managed = block->kind == Kind::managed;
    attributes->hostPointer = pinned || managed ? address : nullptr;
    attributes->type = pinned    ? cudaMemoryTypeHost
                       : managed ? cudaMemoryTypeManaged
                                 : cudaMemoryTypeDevice;
    return cudaSuccess;
}
