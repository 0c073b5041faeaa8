// Streams and events: the order in which work runs.
//
// By default all work runs in the call that submits it, which is one of the orders that CUDA
// allows. With HOST_CUDA_SHUFFLE, or within shuffled() of device.py, work waits as tasks that know
// which tasks they must follow: the one before in the stream, the tasks of events that the stream
// waits for, and, by the rules of the legacy default stream, those of other streams. Whenever a
// task has to be done, tasks that are free to run are drawn at random until it is done. So work
// that is not ordered runs in any order, mostly late.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>

#include "core.h"

namespace host_cuda {
namespace {

using Clock = std::chrono::steady_clock;

enum class State { waiting, running, done };

struct Task {
    std::function<void()> work;
    int device;
    State state = State::waiting;
    std::vector<std::shared_ptr<Task>> after;
};

using TaskPointer = std::shared_ptr<Task>;

struct Stream {
    int device;
    unsigned flags;
    int priority;
    bool legacy;  // the default stream, which blocking streams wait for and which waits for them
    TaskPointer last;
    std::shared_ptr<Capture> capture;  // null unless it is captured
};

// One recording of an event; the event may be recorded anew while a stream still waits for this
// one.
struct Recording {
    int device;
    TaskPointer task;  // null where it was recorded at once
    Clock::time_point when;
    std::shared_ptr<Capture> capture;  // null unless it is part of one
};

// An event; host threads may share it.
class RecordedEvent {
  public:
    RecordedEvent(int device, unsigned flags) : device_(device), flags_(flags) {}

    int device() const {
        return device_;
    }
    bool has_time() const {
        return !(flags_ & cudaEventDisableTiming);
    }
    // Null until it is recorded.
    std::shared_ptr<Recording> recording() const {
        std::lock_guard<std::mutex> lock(mutex_);
        return recording_;
    }
    void record(std::shared_ptr<Recording> recording) {
        std::lock_guard<std::mutex> lock(mutex_);
        recording_ = std::move(recording);
    }

  private:
    int device_;
    unsigned flags_;
    mutable std::mutex mutex_;
    std::shared_ptr<Recording> recording_;
};

// Runs the work with its device current; gives the error that it threw.
cudaError_t run(const std::function<void()>& work, int device) {
    CurrentDevice scope(device);
    try {
        work();
    } catch (const Failure& failure) {
        return failure.error;
    } catch (const std::exception& error) {
        complain(std::string("work on a stream failed: ") + error.what());
        return cudaErrorLaunchFailure;
    }
    return cudaSuccess;
}

// All streams, and the tasks that wait.
class Scheduler {
  public:
    Scheduler() : shuffling_(settings().shuffle), random_(settings().seed) {}

    Stream* create(unsigned flags, int priority);
    cudaError_t destroy(Stream* stream);

    // The stream that a handle means; null where there is none.
    Stream* find(cudaStream_t handle);

    TaskPointer add(Stream* stream, std::function<void()> work, TaskPointer also_after);
    void finish(const TaskPointer& task);
    void finish_stream(Stream* stream);
    void finish_device(int device);
    bool is_done(const TaskPointer& task);
    bool stream_is_done(Stream* stream);
    void run_some();

    bool shuffling() const {
        return shuffling_;
    }
    bool shuffle(bool on, unsigned long long seed);

  private:
    using Lock = std::unique_lock<std::mutex>;
    Stream* default_stream(int device);
    Stream* thread_stream(int device);
    void order(Task& task, Stream* stream);
    std::vector<TaskPointer> last_of(Stream* stream);
    bool run_one(Lock& lock);

    std::atomic<bool> shuffling_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::mt19937_64 random_;
    std::set<Stream*> streams_;
    std::map<int, Stream*> defaults_;
    std::vector<TaskPointer> tasks_;
};

Scheduler& scheduler() {
    static Scheduler* only = new Scheduler;  // never destroyed: threads may outlive main()
    return *only;
}

Stream* Scheduler::create(unsigned flags, int priority) {
    Stream* stream = new Stream{current_device(), flags, priority, false, nullptr, nullptr};
    std::lock_guard<std::mutex> lock(mutex_);
    streams_.insert(stream);
    return stream;
}

// Work that waits in the stream still runs: tasks do not need their stream.
cudaError_t Scheduler::destroy(Stream* stream) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (streams_.erase(stream) == 0) {
        return cudaErrorInvalidResourceHandle;
    }
    delete stream;
    return cudaSuccess;
}

Stream* Scheduler::default_stream(int device) {
    Stream*& stream = defaults_[device];
    if (!stream) {
        stream = new Stream{device, cudaStreamDefault, 0, true, nullptr, nullptr};
    }
    return stream;
}

// The stream that cudaStreamPerThread stands for.
Stream* Scheduler::thread_stream(int device) {
    thread_local std::map<int, Stream*> own;
    Stream*& stream = own[device];
    if (!stream) {
        stream = new Stream{device, cudaStreamDefault, 0, false, nullptr, nullptr};
        streams_.insert(stream);
    }
    return stream;
}

Stream* Scheduler::find(cudaStream_t handle) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!handle || handle == cudaStreamLegacy) {
        return default_stream(current_device());
    }
    if (handle == cudaStreamPerThread) {
        return thread_stream(current_device());
    }
    Stream* stream = reinterpret_cast<Stream*>(handle);
    return streams_.count(stream) ? stream : nullptr;
}

void follow(Task& task, const TaskPointer& earlier) {
    if (earlier && earlier->state != State::done) {
        task.after.push_back(earlier);
    }
}

// What a task of the stream must follow: the task before it, and by the legacy default stream's
// rules that stream's last task, or for a task of that stream, the last task of every blocking
// stream.
void Scheduler::order(Task& task, Stream* stream) {
    follow(task, stream->last);
    if (stream->flags & cudaStreamNonBlocking) {
        return;
    }
    if (!stream->legacy) {
        follow(task, default_stream(stream->device)->last);
        return;
    }
    for (Stream* other : streams_) {
        if (other->device == stream->device && !(other->flags & cudaStreamNonBlocking)) {
            follow(task, other->last);
        }
    }
}

TaskPointer Scheduler::add(Stream* stream, std::function<void()> work, TaskPointer also_after) {
    TaskPointer task = std::make_shared<Task>();
    task->work = std::move(work);
    task->device = stream->device;
    std::lock_guard<std::mutex> lock(mutex_);
    order(*task, stream);
    follow(*task, also_after);
    stream->last = task;
    tasks_.push_back(task);
    return task;
}

bool is_free(const TaskPointer& task) {
    if (task->state != State::waiting) {
        return false;
    }
    return std::all_of(task->after.begin(), task->after.end(),
                       [](const TaskPointer& earlier) { return earlier->state == State::done; });
}

// Runs a random task that is free to run; false if there is none. The lock is released meanwhile.
bool Scheduler::run_one(Lock& lock) {
    std::vector<TaskPointer> ready;
    std::copy_if(tasks_.begin(), tasks_.end(), std::back_inserter(ready), is_free);
    if (ready.empty()) {
        return false;
    }
    TaskPointer task = ready[random_() % ready.size()];
    task->state = State::running;
    lock.unlock();
    cudaError_t error = run(task->work, task->device);
    if (error) {
        keep_error(task->device, error);
    }
    task->work = nullptr;
    lock.lock();
    task->state = State::done;
    task->after.clear();
    tasks_.erase(std::find(tasks_.begin(), tasks_.end(), task));
    changed_.notify_all();
    return true;
}

void Scheduler::finish(const TaskPointer& task) {
    if (!task) {
        return;
    }
    Lock lock(mutex_);
    while (task->state != State::done) {
        if (!run_one(lock)) {
            changed_.wait(lock);  // another thread runs a task that must come first
        }
    }
}

// What has to be done before the stream counts as done: its last task; for the default stream,
// which follows the blocking streams, their last tasks too.
std::vector<TaskPointer> Scheduler::last_of(Stream* stream) {
    std::lock_guard<std::mutex> lock(mutex_);
    Task everything;
    if (stream->legacy) {
        order(everything, stream);
    } else {
        follow(everything, stream->last);
    }
    return everything.after;
}

void Scheduler::finish_stream(Stream* stream) {
    for (const TaskPointer& task : last_of(stream)) {
        finish(task);
    }
}

bool Scheduler::stream_is_done(Stream* stream) {
    return last_of(stream).empty();
}

void Scheduler::finish_device(int device) {
    std::vector<TaskPointer> mine;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        std::copy_if(tasks_.begin(), tasks_.end(), std::back_inserter(mine),
                     [device](const TaskPointer& task) { return task->device == device; });
    }
    for (const TaskPointer& task : mine) {
        finish(task);
    }
}

bool Scheduler::is_done(const TaskPointer& task) {
    std::lock_guard<std::mutex> lock(mutex_);
    return !task || task->state == State::done;
}

// Simulates that time passes: mostly nothing happens, sometimes a few tasks run.
void Scheduler::run_some() {
    constexpr std::size_t many = 256;
    Lock lock(mutex_);
    if (random_() % 8 == 0) {
        for (int left = static_cast<int>(random_() % 4); left > 0 && run_one(lock); left--) {
        }
    }
    while (tasks_.size() > many && run_one(lock)) {
    }
}

// Runs all work that waits, then starts to shuffle by the seed, or stops. Returns whether it
// shuffled before.
bool Scheduler::shuffle(bool on, unsigned long long seed) {
    for (int device = 0; device < settings().devices; device++) {
        finish_device(device);
    }
    std::lock_guard<std::mutex> lock(mutex_);
    random_.seed(seed);
    return shuffling_.exchange(on);
}

RecordedEvent* event_of(cudaEvent_t handle) {
    return reinterpret_cast<RecordedEvent*>(handle);
}

cudaError_t create_event(cudaEvent_t* event, unsigned flags) {
    *event = reinterpret_cast<cudaEvent_t>(new RecordedEvent(current_device(), flags));
    return cudaSuccess;
}

// The error of work that ran late, once it has been waited for.
cudaError_t after_waiting(int device) {
    return report(take_error(device));
}

// One of a stream and an event is captured, and the other is not, or elsewhere. CUDA would let a
// second stream take part in a capture.
cudaError_t refuse_to_cross(Stream& stream, Recording& recording) {
    for (const std::shared_ptr<Capture>& capture : {stream.capture, recording.capture}) {
        if (capture) {
            capture->invalidate(cudaErrorStreamCaptureIsolation);
        }
    }
    if (recording.capture) {
        complain("cudaStreamWaitEvent: captures of several streams are not emulated");
    }
    return cudaErrorStreamCaptureIsolation;
}

}  // namespace

bool shuffling() {
    return scheduler().shuffling();
}

cudaError_t enqueue(cudaStream_t handle, std::function<void()> work) {
    if (cudaError_t error = use_device()) {
        return error;
    }
    Stream* stream = scheduler().find(handle);
    if (!stream) {
        return cudaErrorInvalidResourceHandle;
    }
    if (stream->capture) {
        return stream->capture->add(std::move(work));
    }
    if (stream->legacy) {
        if (cudaError_t error = use_legacy_stream(stream->device)) {
            return error;
        }
    }
    if (!shuffling()) {
        return run(work, stream->device);
    }
    scheduler().add(stream, std::move(work), nullptr);
    scheduler().run_some();
    return cudaSuccess;
}

cudaError_t submit(cudaStream_t stream, std::function<void()> work) {
    return empty_launches() ? cudaSuccess : enqueue(stream, std::move(work));
}

cudaError_t synchronize(cudaStream_t handle) {
    Stream* stream = scheduler().find(handle);
    if (!stream) {
        return cudaErrorInvalidResourceHandle;
    }
    if (stream->capture) {
        return stream->capture->invalidate(cudaErrorStreamCaptureUnsupported);
    }
    scheduler().finish_stream(stream);
    return take_error(stream->device);
}

cudaError_t synchronize_device(int device) {
    scheduler().finish_device(device);
    return take_error(device);
}

std::optional<int> device_of(cudaStream_t handle) {
    Stream* stream = scheduler().find(handle);
    return stream ? std::optional<int>(stream->device) : std::nullopt;
}

std::shared_ptr<Capture> capture_of(cudaStream_t handle) {
    Stream* stream = scheduler().find(handle);
    return stream ? stream->capture : nullptr;
}

cudaError_t begin_capture(cudaStream_t handle, std::shared_ptr<Capture> capture) {
    Stream* stream = scheduler().find(handle);
    if (!stream) {
        return cudaErrorInvalidResourceHandle;
    }
    if (stream->legacy) {
        return cudaErrorStreamCaptureUnsupported;
    }
    if (stream->capture) {
        return cudaErrorIllegalState;
    }
    capture->device = stream->device;
    capture->blocking = !(stream->flags & cudaStreamNonBlocking);
    stream->capture = std::move(capture);
    return cudaSuccess;
}

void end_capture(cudaStream_t handle) {
    scheduler().find(handle)->capture = nullptr;
}

}  // namespace host_cuda

using namespace host_cuda;

// For device.py.
API int host_cuda_shuffle(int on, unsigned long long seed) {
    return scheduler().shuffle(on != 0, seed);
}

API cudaError_t cudaDeviceSynchronize() {
    count(Event::synchronize, "device");
    if (cudaError_t error = wait_for_device(current_device())) {
        return report(error);
    }
    return report(synchronize_device(current_device()));
}

API cudaError_t cudaStreamCreateWithPriority(cudaStream_t* result, unsigned flags, int priority) {
    *result = reinterpret_cast<cudaStream_t>(scheduler().create(flags, priority));
    return cudaSuccess;
}

API cudaError_t cudaStreamCreateWithFlags(cudaStream_t* result, unsigned flags) {
    return cudaStreamCreateWithPriority(result, flags, 0);
}

API cudaError_t cudaStreamCreate(cudaStream_t* result) {
    return cudaStreamCreateWithPriority(result, cudaStreamDefault, 0);
}

API cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    return report(scheduler().destroy(reinterpret_cast<Stream*>(stream)));
}

API cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
    Stream* stream = scheduler().find(handle);
    if (!stream) {
        return report(cudaErrorInvalidResourceHandle);
    }
    *flags = stream->flags;
    return cudaSuccess;
}

API cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
    Stream* stream = scheduler().find(handle);
    if (!stream) {
        return report(cudaErrorInvalidResourceHandle);
    }
    *priority = stream->priority;
    return cudaSuccess;
}

API cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    count(Event::synchronize, "stream");
    return report(synchronize(stream));
}

// A query does not wait, but time passes with it, so that a loop of queries ends.
API cudaError_t cudaStreamQuery(cudaStream_t handle) {
    Stream* stream = scheduler().find(handle);
    if (!stream) {
        return report(cudaErrorInvalidResourceHandle);
    }
    if (stream->capture) {
        return report(stream->capture->invalidate(cudaErrorStreamCaptureUnsupported));
    }
    if (scheduler().stream_is_done(stream)) {
        return after_waiting(stream->device);
    }
    scheduler().run_some();
    return cudaErrorNotReady;
}

API cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
    count(Event::wait, "event");
    Stream* stream = scheduler().find(handle);
    if (!stream || !event) {
        return report(cudaErrorInvalidResourceHandle);
    }
    std::shared_ptr<Recording> recording = event_of(event)->recording();
    if (!recording) {
        return cudaSuccess;
    }
    if (recording->capture != stream->capture) {
        return report(refuse_to_cross(*stream, *recording));
    }
    if (recording->task) {
        scheduler().add(stream, [] {}, recording->task);
    }
    return cudaSuccess;
}

API cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback,
                                      void* data, unsigned) {
    return report(enqueue(stream, [=] { callback(stream, cudaSuccess, data); }));
}

API cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
    return report(enqueue(stream, [=] { function(data); }));
}

API cudaError_t cudaEventCreate(cudaEvent_t* event) {
    return create_event(event, cudaEventDefault);
}

API cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
    return create_event(event, flags);
}

API cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event_of(event);
    return cudaSuccess;
}

API cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
    count(Event::record, "event");
    Stream* stream = scheduler().find(stream_handle);
    RecordedEvent* event = event_of(handle);
    if (!stream || !event || stream->device != event->device()) {
        return report(cudaErrorInvalidResourceHandle);
    }
    auto recording = std::make_shared<Recording>();
    recording->device = stream->device;
    if (stream->capture) {
        recording->capture = stream->capture;
        event->record(recording);
        return report(stream->capture->add([] {}));
    }
    auto note_time = [recording] { recording->when = Clock::now(); };
    if (shuffling()) {
        recording->task = scheduler().add(stream, note_time, nullptr);
        event->record(recording);
        scheduler().run_some();
    } else {
        note_time();
        event->record(recording);
    }
    return cudaSuccess;
}

API cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    count(Event::synchronize, "event");
    std::shared_ptr<Recording> recording = event_of(event)->recording();
    if (!recording) {
        return cudaSuccess;
    }
    if (recording->capture) {
        return report(recording->capture->invalidate(cudaErrorCapturedEvent));
    }
    scheduler().finish(recording->task);
    return after_waiting(recording->device);
}

API cudaError_t cudaEventQuery(cudaEvent_t event) {
    std::shared_ptr<Recording> recording = event_of(event)->recording();
    if (recording && recording->capture) {
        return report(recording->capture->invalidate(cudaErrorCapturedEvent));
    }
    if (!recording || scheduler().is_done(recording->task)) {
        return cudaSuccess;
    }
    scheduler().run_some();
    return cudaErrorNotReady;
}

API cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t first, cudaEvent_t second) {
    std::shared_ptr<Recording> recordings[2];
    for (int i = 0; i < 2; i++) {
        RecordedEvent* event = event_of(i == 0 ? first : second);
        recordings[i] = event && event->has_time() ? event->recording() : nullptr;
        if (!recordings[i] || recordings[i]->capture) {
            return report(cudaErrorInvalidResourceHandle);
        }
        if (!scheduler().is_done(recordings[i]->task)) {
            return report(cudaErrorNotReady);
        }
    }
    auto elapsed = recordings[1]->when - recordings[0]->when;
    *milliseconds = std::chrono::duration<float, std::milli>(elapsed).count();
    return cudaSuccess;
}
