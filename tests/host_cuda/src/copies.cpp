// Copies and memsets.
//
// What CUDA promises for a copy depends on the host's memory: pageable memory is read before
// the call returns, and a copy into it is complete when the call returns; pinned memory is read or
// written when the copy runs, later. Programs that overwrite a pinned buffer too early go wrong
// here as well.
#include <cstring>
#include <memory>
#include <vector>

#include "core.h"

namespace host_cuda {
namespace {

// Rows of bytes; a plain copy is one row.
struct Copy {
    char* to;
    const char* from;
    std::size_t to_pitch;
    std::size_t from_pitch;
    std::size_t width;
    std::size_t height;

    std::size_t extent(std::size_t pitch) const {
        return height == 0 ? 0 : pitch * (height - 1) + width;
    }
    std::size_t to_extent() const {
        return extent(to_pitch);
    }
    std::size_t from_extent() const {
        return extent(from_pitch);
    }
    void run() const {
        for (std::size_t row = 0; row < height; row++) {
            std::memmove(to + row * to_pitch, from + row * from_pitch, width);
        }
    }
};

struct Ends {
    bool from_device;
    bool to_device;
};

Ends ends_of(const Copy& copy, cudaMemcpyKind kind) {
    if (kind == cudaMemcpyDefault) {
        return {on_any_device(copy.from, copy.from_extent()),
                on_any_device(copy.to, copy.to_extent())};
    }
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    return {from_device, to_device};
}

bool serves_as(const void* p, std::size_t bytes, bool device) {
    bool of_device = on_any_device(p, bytes);
    if (device) {
        return of_device || is_pinned(p, bytes);
    }
    std::optional<Allocation> block = find_allocation(p);
    return !of_device || block->kind == Kind::managed;
}

// Whether the memory lies where the kind of the copy requires; if not, it prints why. Pinned and
// managed memory is both the host's and the device's.
bool fits(const void* p, std::size_t bytes, bool device, const char* role) {
    bool fitting = serves_as(p, bytes, device);
    if (!fitting) {
        std::string expected = device ? "device" : "host";
        complain("copy: expected " + expected + " memory as the " + role + " of " +
                 std::to_string(bytes) + " bytes, given " + describe(p));
    }
    return fitting;
}

void count_copy(Ends ends, std::size_t bytes) {
    std::string size = std::to_string(bytes);
    if (ends.from_device && ends.to_device) {
        count(Event::on_device, size);
    } else if (ends.to_device) {
        count(Event::to_device, size);
    } else if (ends.from_device) {
        count(Event::to_host, size);
    }
}

// A copy whose source has been saved in a buffer of its own.
std::function<void()> captured(const Copy& copy) {
    auto bytes = std::make_shared<std::vector<char>>(copy.from, copy.from + copy.from_extent());
    Copy from_bytes = copy;
    from_bytes.from = bytes->data();
    return [bytes, from_bytes] { from_bytes.run(); };
}

// The device's side must still be there when the copy runs.
std::function<void()> checked(const Copy& copy, Ends ends, std::function<void()> run) {
    return [=] {
        bool source = !ends.from_device || fits(copy.from, copy.from_extent(), true, "source");
        bool target = !ends.to_device || fits(copy.to, copy.to_extent(), true, "target");
        if (!source || !target) {
            throw Failure{cudaErrorIllegalAddress};
        }
        run();
    };
}

cudaError_t copy_rows(const Copy& copy, cudaMemcpyKind kind, cudaStream_t stream, bool blocking) {
    if (copy.width == 0 || copy.height == 0) {
        return cudaSuccess;
    }
    if (copy.width > copy.to_pitch || copy.width > copy.from_pitch) {
        return report(cudaErrorInvalidValue);
    }
    Ends ends = ends_of(copy, kind);
    count_copy(ends, copy.width * copy.height);
    bool source = fits(copy.from, copy.from_extent(), ends.from_device, "source");
    bool target = fits(copy.to, copy.to_extent(), ends.to_device, "target");
    if (!source || !target) {
        return report(cudaErrorInvalidValue);
    }
    bool pageable_source = !ends.from_device && !is_pinned(copy.from, copy.from_extent());
    bool pageable_target = !ends.to_device && !is_pinned(copy.to, copy.to_extent());
    if (pageable_source || pageable_target) {
        if (std::shared_ptr<Capture> capture = capture_of(stream)) {
            return report(capture->invalidate(cudaErrorStreamCaptureUnsupported));
        }
    }
    std::function<void()> work = [copy] { copy.run(); };
    if (pageable_source && shuffling()) {
        work = captured(copy);
    }
    cudaError_t error = submit(stream, checked(copy, ends, work));
    if (pageable_target || (blocking && !(ends.from_device && ends.to_device))) {
        cudaError_t late = synchronize(stream);
        error = error ? error : late;
    }
    return report(error);
}

char* bytes_at(void* p) {
    return static_cast<char*>(p);
}

const char* bytes_at(const void* p) {
    return static_cast<const char*>(p);
}

Copy one_row(void* to, const void* from, std::size_t bytes) {
    return {bytes_at(to), bytes_at(from), bytes, bytes, bytes, 1};
}

cudaError_t set_bytes(void* p, int value, std::size_t bytes, cudaStream_t stream) {
    if (bytes == 0) {
        return cudaSuccess;
    }
    count(Event::memset, std::to_string(bytes));
    if (!fits(p, bytes, true, "target")) {
        return report(cudaErrorInvalidValue);
    }
    return report(submit(stream, [=] {
        if (!fits(p, bytes, true, "target")) {
            throw Failure{cudaErrorIllegalAddress};
        }
        std::memset(p, value, bytes);
    }));
}

}  // namespace
}  // namespace host_cuda

using namespace host_cuda;

API cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    if (cudaError_t error = unsafe_call()) {
        return report(error);
    }
    return copy_rows(one_row(to, from, bytes), kind, nullptr, true);
}

API cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                                cudaStream_t stream) {
    return copy_rows(one_row(to, from, bytes), kind, stream, false);
}

API cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes,
                                    cudaStream_t stream) {
    return copy_rows(one_row(to, from, bytes), cudaMemcpyDeviceToDevice, stream, false);
}

// Serialized with all work of both devices.
API cudaError_t cudaMemcpyPeer(void* to, int to_device, const void* from, int from_device,
                               size_t bytes) {
    cudaError_t before = synchronize_device(from_device);
    before = before ? before : synchronize_device(to_device);
    cudaError_t error = cudaMemcpyPeerAsync(to, to_device, from, from_device, bytes, nullptr);
    cudaError_t late = synchronize(nullptr);
    return report(before ? before : error ? error : late);
}

API cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                                  size_t width, size_t height, cudaMemcpyKind kind,
                                  cudaStream_t stream) {
    Copy copy{bytes_at(to), bytes_at(from), to_pitch, from_pitch, width, height};
    return copy_rows(copy, kind, stream, false);
}

API cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                             size_t width, size_t height, cudaMemcpyKind kind) {
    Copy copy{bytes_at(to), bytes_at(from), to_pitch, from_pitch, width, height};
    return copy_rows(copy, kind, nullptr, true);
}

API cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream) {
    return set_bytes(p, value, bytes, stream);
}

API cudaError_t cudaMemset(void* p, int value, size_t bytes) {
    return set_bytes(p, value, bytes, nullptr);
}
