// Graphs: work that is captured on a stream instead of running, and is then launched any number of
// times.
//
// A captured launch, product, copy or memset is the closure that would otherwise have been
// submitted: it holds the values of its arguments and the addresses that it was given. So a launch
// of the graph computes with the numbers of the capture, and fails where memory was freed since.
// The rules are CUDA's: what would wait for a stream that is captured is an error, which
// invalidates the capture.
#include <algorithm>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "core.h"

namespace host_cuda {
namespace {

using Work = std::vector<std::function<void()>>;

struct Graph {
    int device;
    std::shared_ptr<const Work> work;
};

// All captures that have begun and not ended.
struct Captures {
    std::mutex mutex;
    std::set<std::shared_ptr<Capture>> active;
};

Captures& captures() {
    static Captures* all = new Captures;  // never destroyed: threads may outlive main()
    return *all;
}

// The graphs that exist, of one kind: captured, or ready to be launched.
class Graphs {
  public:
    void* add(Graph graph) {
        std::lock_guard<std::mutex> lock(mutex_);
        Graph* made = new Graph(std::move(graph));
        live_.insert(made);
        return made;
    }
    std::optional<Graph> find(void* handle) {
        std::lock_guard<std::mutex> lock(mutex_);
        Graph* graph = static_cast<Graph*>(handle);
        return live_.count(graph) ? std::optional<Graph>(*graph) : std::nullopt;
    }
    cudaError_t destroy(void* handle) {
        std::lock_guard<std::mutex> lock(mutex_);
        Graph* graph = static_cast<Graph*>(handle);
        if (live_.erase(graph) == 0) {
            return cudaErrorInvalidValue;
        }
        delete graph;
        return cudaSuccess;
    }

  private:
    std::mutex mutex_;
    std::set<Graph*> live_;
};

Graphs& captured_graphs() {
    static Graphs* all = new Graphs;
    return *all;
}

Graphs& executable_graphs() {
    static Graphs* all = new Graphs;
    return *all;
}

void forget(const std::shared_ptr<Capture>& capture) {
    std::lock_guard<std::mutex> lock(captures().mutex);
    captures().active.erase(capture);
}

// Invalidates each active capture for which `is_hit` is true; the error if there is one.
template <class Test>
cudaError_t invalidate_where(cudaError_t error, Test is_hit) {
    cudaError_t found = cudaSuccess;
    std::lock_guard<std::mutex> lock(captures().mutex);
    for (const std::shared_ptr<Capture>& capture : captures().active) {
        if (is_hit(*capture)) {
            capture->valid = false;
            found = error;
        }
    }
    return found;
}

// Whether the legacy default stream of the device cannot be used because of a capture.
bool blocks(const Capture& capture, int device) {
    return capture.device == device && capture.blocking;
}

bool blocking_capture(int device) {
    std::lock_guard<std::mutex> lock(captures().mutex);
    const auto& active = captures().active;
    return std::any_of(active.begin(), active.end(),
                       [device](const auto& capture) { return blocks(*capture, device); });
}

}  // namespace

cudaError_t Capture::add(std::function<void()> next) {
    if (!valid) {
        return cudaErrorStreamCaptureInvalidated;
    }
    work.push_back(std::move(next));
    return cudaSuccess;
}

cudaError_t Capture::invalidate(cudaError_t error) {
    valid = false;
    return error;
}

cudaError_t unsafe_call() {
    auto is_hit = [](const Capture& capture) {
        bool own = capture.thread == std::this_thread::get_id();
        return capture.mode == cudaStreamCaptureModeGlobal ||
               (capture.mode == cudaStreamCaptureModeThreadLocal && own);
    };
    return invalidate_where(cudaErrorStreamCaptureUnsupported, is_hit);
}

cudaError_t wait_for_device(int device) {
    auto is_hit = [device](const Capture& capture) { return capture.device == device; };
    return invalidate_where(cudaErrorStreamCaptureUnsupported, is_hit);
}

cudaError_t use_legacy_stream(int device) {
    auto is_hit = [device](const Capture& capture) { return blocks(capture, device); };
    return invalidate_where(cudaErrorStreamCaptureImplicit, is_hit);
}

}  // namespace host_cuda

using namespace host_cuda;

API cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    auto capture = std::make_shared<Capture>();
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    if (cudaError_t error = begin_capture(stream, capture)) {
        return report(error);
    }
    std::lock_guard<std::mutex> lock(captures().mutex);
    captures().active.insert(capture);
    return cudaSuccess;
}

API cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    *graph = nullptr;
    std::shared_ptr<Capture> capture = capture_of(stream);
    if (!capture) {
        return report(cudaErrorIllegalState);
    }
    bool own = capture->thread == std::this_thread::get_id();
    if (!own && capture->mode != cudaStreamCaptureModeRelaxed) {
        return report(cudaErrorStreamCaptureWrongThread);
    }
    end_capture(stream);
    forget(capture);
    if (!capture->valid) {
        return report(cudaErrorStreamCaptureInvalidated);
    }
    auto work = std::make_shared<const Work>(std::move(capture->work));
    *graph = static_cast<cudaGraph_t>(captured_graphs().add({capture->device, work}));
    return cudaSuccess;
}

API cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    *status = cudaStreamCaptureStatusNone;
    if (!stream || stream == cudaStreamLegacy) {
        bool blocked = blocking_capture(current_device());
        return report(blocked ? cudaErrorStreamCaptureImplicit : cudaSuccess);
    }
    if (std::shared_ptr<Capture> capture = capture_of(stream)) {
        *status =
            capture->valid ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusInvalidated;
    }
    return cudaSuccess;
}

API cudaError_t cudaGraphInstantiate(cudaGraphExec_t* result, cudaGraph_t graph,
                                     unsigned long long) {
    std::optional<Graph> found = captured_graphs().find(graph);
    if (!found) {
        return report(cudaErrorInvalidValue);
    }
    *result = static_cast<cudaGraphExec_t>(executable_graphs().add(*found));
    return cudaSuccess;
}

// One task of the stream, in which the captured work runs in the order of the capture.
API cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    std::optional<Graph> found = executable_graphs().find(graph);
    if (!found) {
        return report(cudaErrorInvalidValue);
    }
    count(Event::graph, std::to_string(found->work->size()));
    if (device_of(stream) != found->device) {
        return report(cudaErrorInvalidValue);
    }
    return report(submit(stream, [work = found->work] {
        for (const std::function<void()>& one : *work) {
            one();
        }
    }));
}

API cudaError_t cudaGraphUpload(cudaGraphExec_t graph, cudaStream_t) {
    return report(executable_graphs().find(graph) ? cudaSuccess : cudaErrorInvalidValue);
}

API cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    return report(captured_graphs().destroy(graph));
}

API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    return report(executable_graphs().destroy(graph));
}
