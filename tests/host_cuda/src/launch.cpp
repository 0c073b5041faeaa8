// Running a kernel: the threads of a block are fibres of one host thread.
//
// A fibre runs the kernel for one thread index after another until a thread comes to a barrier;
// there it is parked, and another fibre takes the next index. So a kernel without barriers needs
// one fibre and no switches. When every thread of the block has finished or is parked, the complete
// barriers open. Only one kernel runs at a time, so atomic operations are plain reads and writes.
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <bitset>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>

#include "launch.h"

namespace host_cuda {
namespace {

using host_cuda_kernel::Kernel;
using host_cuda_kernel::most_threads;
using host_cuda_kernel::slot_bytes;
using host_cuda_kernel::State;
using host_cuda_kernel::Trap;

constexpr int warp_size = 32;

// Each fibre uses a few cache lines at the top of its stack. If the tops lay at multiples of a
// power of two, they would share a few places in the caches: so stacks are a page longer than that,
// and the tops are shifted by some lines each.
constexpr std::size_t stack_bytes = (256 + 4) << 10;
constexpr std::size_t shift_bytes = 6 * 64;
constexpr std::size_t most_shift = 4096;

enum class Barrier { none, block, warp };

// Where a fibre waits. The compiler's own setjmp and longjmp keep three words, which makes a switch
// take a tenth of the time that the C library's take; but a function may not use both on one
// buffer.
using Place = void* [5];

struct Fibre {
    ucontext_t start;
    Place where;  // once it has started
    bool started = false;
    int thread = 0;  // the number of the thread that it runs
    uint3 index{};   // the same as an index
    Barrier waits_at = Barrier::none;
    unsigned mask = 0;  // the lanes that a warp's barrier waits for
    void* stack = nullptr;
    std::size_t shift = 0;  // of the top of the stack
};

[[noreturn]] void fibre_main();

// The launch that runs. Everything here is guarded by `execution`; thread-local variables would be
// wrong, because a fibre may continue in another host thread than it started in.
class Runner {
  public:
    void run(const Launch& launch, void** arguments);

    // Called by fibres.
    void run_threads();
    void park(Barrier barrier, unsigned mask);
    void leave_idle();
    unsigned live_lanes() const;

    // Called when a kernel fails, from any fibre or signal handler: goes back to run().
    [[noreturn]] void abandon(cudaError_t error, const char* message);

    pthread_t host_thread() const {
        return host_thread_;
    }
    bool running() const {
        return running_;
    }

  private:
    void run_grid();
    void run_block();
    void run_alone();
    __attribute__((noinline)) void enter(Fibre* fibre);
    __attribute__((noinline)) void resume(Fibre* fibre);
    __attribute__((noinline)) void leave();
    __attribute__((noinline)) void go_home();
    Fibre* idle_fibre();
    Fibre* next_fibre();
    void make(Fibre* fibre);
    void forget_fibres();
    uint3 index_of(int thread) const;
    bool open_barriers();
    void open_warps();
    unsigned arrived_in_warp(int warp) const;
    unsigned live_in_warp(int warp) const;

    const Launch* launch_ = nullptr;
    const Kernel* kernel_ = nullptr;
    State* state_ = nullptr;
    void** arguments_ = nullptr;

    int threads_ = 0;   // of a block
    int next_ = 0;      // the first thread that has not started
    int finished_ = 0;  // how many have finished
    std::bitset<most_threads> live_;

    std::vector<std::unique_ptr<Fibre>> fibres_;
    std::vector<Fibre*> idle_;
    std::vector<Fibre*> parked_;  // at a barrier
    std::vector<Fibre*> free_;    // whose barrier has opened, in the order in which they go on
    std::size_t resumed_ = 0;     // how many of these have gone on
    Fibre* current_ = nullptr;

    Place home_;     // where fibres come back to
    jmp_buf fault_;  // where run() learns of a failure
    volatile sig_atomic_t running_ = 0;
    pthread_t host_thread_;
    cudaError_t error_ = cudaSuccess;
    const char* message_ = "";
    char exchange_[most_threads][slot_bytes];
};

Runner runner;
std::mutex execution;

// --- what kernels call ---------------------------------------------------------------------------

void block_barrier() {
    runner.park(Barrier::block, 0);
}

void warp_barrier(unsigned mask) {
    runner.park(Barrier::warp, mask);
}

unsigned live_lanes() {
    return runner.live_lanes();
}

void trap(Trap why, const char* message) {
    bool assertion = why == Trap::assertion;
    runner.abandon(assertion ? cudaErrorAssert : cudaErrorLaunchFailure, message);
}

// --- signals -------------------------------------------------------------------------------------

constexpr int signals[] = {SIGSEGV, SIGBUS, SIGFPE};
struct sigaction before[3];

// A kernel that reads a wild address ends with an error; any other fault is left to the handlers
// that were installed before.
void on_signal(int number, siginfo_t*, void*) {
    if (!runner.running() || !pthread_equal(pthread_self(), runner.host_thread())) {
        for (int i = 0; i < 3; i++) {
            sigaction(signals[i], &before[i], nullptr);
        }
        return;  // the instruction faults again
    }
    bool arithmetic = number == SIGFPE;
    runner.abandon(arithmetic ? cudaErrorLaunchFailure : cudaErrorIllegalAddress,
                   arithmetic ? "an integer division by zero" : "an access to a wild address");
}

// Handlers need a stack of their own, because a kernel may have used up the one that it runs on.
void give_signal_stack() {
    constexpr std::size_t bytes = 64 << 10;
    thread_local std::unique_ptr<char[]> own;
    stack_t present;
    sigaltstack(nullptr, &present);
    if (!(present.ss_flags & SS_DISABLE)) {
        return;
    }
    own.reset(new char[bytes]);
    stack_t stack{};
    stack.ss_sp = own.get();
    stack.ss_size = bytes;
    sigaltstack(&stack, nullptr);
}

class Handlers {
  public:
    Handlers() {
        give_signal_stack();
        struct sigaction action{};
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        for (int i = 0; i < 3; i++) {
            sigaction(signals[i], &action, &before[i]);
        }
    }
    ~Handlers() {
        for (int i = 0; i < 3; i++) {
            sigaction(signals[i], &before[i], nullptr);
        }
    }
};

// --- fibres --------------------------------------------------------------------------------------

void fibre_main() {
    for (;;) {
        runner.run_threads();
        runner.leave_idle();
    }
}

void Runner::make(Fibre* fibre) {
    if (!fibre->stack) {
        std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (stack == MAP_FAILED) {
            throw Failure{cudaErrorMemoryAllocation};
        }
        mprotect(stack, page, PROT_NONE);
        fibre->stack = stack;
    }
    getcontext(&fibre->start);
    fibre->start.uc_stack.ss_sp = fibre->stack;
    fibre->start.uc_stack.ss_size = stack_bytes - fibre->shift;
    fibre->start.uc_link = nullptr;
    makecontext(&fibre->start, fibre_main, 0);
    fibre->started = false;
}

Fibre* Runner::idle_fibre() {
    if (idle_.empty()) {
        fibres_.push_back(std::make_unique<Fibre>());
        fibres_.back()->shift = fibres_.size() * shift_bytes % most_shift;
        make(fibres_.back().get());
        return fibres_.back().get();
    }
    Fibre* fibre = idle_.back();
    idle_.pop_back();
    return fibre;
}

// The fibre to run next: one for the threads that have not started, else one that may continue;
// null if all of them wait.
Fibre* Runner::next_fibre() {
    if (next_ < threads_) {
        return idle_fibre();
    }
    if (resumed_ < free_.size()) {
        return free_[resumed_++];
    }
    return nullptr;
}

// Runs the fibre, and those after it, until all of them wait or have nothing left to do.
void Runner::enter(Fibre* fibre) {
    if (__builtin_setjmp(home_) == 0) {
        resume(fibre);
    }
}

void Runner::resume(Fibre* fibre) {
    current_ = fibre;
    if (fibre->started) {
        __builtin_longjmp(fibre->where, 1);
    }
    fibre->started = true;
    setcontext(&fibre->start);
}

void Runner::go_home() {
    __builtin_longjmp(home_, 1);
}

// Switches from the current fibre to the next one, or home; returns when this one is resumed.
void Runner::leave() {
    Fibre* next = next_fibre();
    if (__builtin_setjmp(current_->where) == 0) {
        next ? resume(next) : go_home();
    }
}

void Runner::leave_idle() {
    idle_.push_back(current_);
    leave();
}

void Runner::park(Barrier barrier, unsigned mask) {
    Fibre* me = current_;
    me->waits_at = barrier;
    me->mask = mask;
    parked_.push_back(me);
    leave();
    state_->thread = me->index;
}

// After a failure: parked fibres hold calls that will never return.
void Runner::forget_fibres() {
    parked_.clear();
    free_.clear();
    resumed_ = 0;
    idle_.clear();
    for (const std::unique_ptr<Fibre>& fibre : fibres_) {
        make(fibre.get());
        idle_.push_back(fibre.get());
    }
}

uint3 Runner::index_of(int thread) const {
    unsigned number = static_cast<unsigned>(thread);
    const dim3& block = launch_->block;
    return {number % block.x, number / block.x % block.y, number / block.x / block.y};
}

// Runs the threads of the block that have not started, until one parks this fibre. When that thread
// has finished, the fibre continues with the threads that are then left.
void Runner::run_threads() {
    while (next_ < threads_) {
        int thread = next_++;
        current_->thread = thread;
        current_->index = index_of(thread);
        state_->thread = current_->index;
        kernel_->call(arguments_);
        live_.reset(current_->thread);
        finished_++;
    }
}

unsigned Runner::live_in_warp(int warp) const {
    unsigned lanes = 0;
    int first = warp * warp_size;
    for (int lane = 0; lane < warp_size && first + lane < threads_; lane++) {
        lanes |= static_cast<unsigned>(live_[first + lane]) << lane;
    }
    return lanes;
}

unsigned Runner::live_lanes() const {
    return live_in_warp(current_->thread / warp_size);
}

unsigned Runner::arrived_in_warp(int warp) const {
    unsigned lanes = 0;
    for (const Fibre* fibre : parked_) {
        if (fibre->waits_at == Barrier::warp && fibre->thread / warp_size == warp) {
            lanes |= 1u << (fibre->thread % warp_size);
        }
    }
    return lanes;
}

// Frees the fibres whose warp's barrier is complete: all live lanes of its mask have arrived.
void Runner::open_warps() {
    int warps = (threads_ + warp_size - 1) / warp_size;
    std::vector<unsigned> missing(warps);
    for (int warp = 0; warp < warps; warp++) {
        missing[warp] = live_in_warp(warp) & ~arrived_in_warp(warp);
    }
    auto waits = [&](Fibre* fibre) {
        return fibre->waits_at == Barrier::block ||
               (fibre->mask & missing[fibre->thread / warp_size]) != 0;
    };
    auto complete = std::stable_partition(parked_.begin(), parked_.end(), waits);
    free_.assign(complete, parked_.end());
    parked_.erase(complete, parked_.end());
}

// Frees the fibres that may continue; false if there are none, because threads wait for others that
// never arrive.
bool Runner::open_barriers() {
    free_.clear();
    resumed_ = 0;
    auto at_block = [](Fibre* fibre) { return fibre->waits_at == Barrier::block; };
    if (std::all_of(parked_.begin(), parked_.end(), at_block)) {
        free_.swap(parked_);
    } else {
        open_warps();
    }
    return !free_.empty();
}

void Runner::run_block() {
    next_ = 0;
    finished_ = 0;
    live_.reset();
    for (int thread = 0; thread < threads_; thread++) {
        live_.set(thread);
    }
    while (finished_ < threads_) {
        if (Fibre* fibre = next_fibre()) {
            enter(fibre);
        } else if (!open_barriers()) {
            abandon(cudaErrorLaunchFailure, "threads wait at a barrier that others never reach");
        }
    }
}

// --- launches ------------------------------------------------------------------------------------

void Runner::run_grid() {
    const dim3& grid = launch_->grid;
    for (unsigned z = 0; z < grid.z; z++) {
        for (unsigned y = 0; y < grid.y; y++) {
            for (unsigned x = 0; x < grid.x; x++) {
                state_->block = {x, y, z};
                run_block();
            }
        }
    }
}

// A kernel that is one loop with the stride of its grid: a grid of one thread does all of it.
void Runner::run_alone() {
    state_->block_size = dim3(1, 1, 1);
    state_->grid_size = dim3(1, 1, 1);
    state_->thread = {0, 0, 0};
    state_->block = {0, 0, 0};
    kernel_->call(arguments_);
}

void Runner::run(const Launch& launch, void** arguments) {
    launch_ = &launch;
    kernel_ = launch.kernel;
    state_ = kernel_->state;
    arguments_ = arguments;
    threads_ = static_cast<int>(launch.block.x * launch.block.y * launch.block.z);
    state_->block_size = launch.block;
    state_->grid_size = launch.grid;
    state_->block_barrier = block_barrier;
    state_->warp_barrier = warp_barrier;
    state_->live_lanes = host_cuda::live_lanes;
    state_->trap = trap;
    state_->exchange = exchange_;
    host_thread_ = pthread_self();
    Handlers handlers;
    if (_setjmp(fault_) == 0) {
        running_ = 1;
        kernel_->grid_stride ? run_alone() : run_grid();
        running_ = 0;
        return;
    }
    running_ = 0;
    forget_fibres();
    complain("kernel " + launch_->name + ": " + message_);
    throw Failure{error_};
}

void Runner::abandon(cudaError_t error, const char* message) {
    error_ = error;
    message_ = message;
    _longjmp(fault_, 1);
}

// Whether the current device can use what an argument points to. Where only the start is known, it
// may also lie just past the end: an array without elements.
bool is_usable(const void* first, std::size_t bytes) {
    if (bytes > 0) {
        return is_device_memory(first, bytes);
    }
    std::optional<Allocation> block = find_allocation(first);
    return block && (block->kind != Kind::device || may_access(current_device(), block->device));
}

// The first argument that cannot be used. Kernels are compiled without exceptions, so none may pass
// through Kernel::visit_pointers.
struct Unusable {
    int argument = -1;
    const void* first = nullptr;
    std::size_t bytes = 0;
};

void check_pointer(void* context, int argument, const void* first, std::size_t bytes) {
    Unusable& found = *static_cast<Unusable*>(context);
    // CuPy's empty arrays are null; a kernel that reads them faults.
    if (first && found.argument < 0 && !is_usable(first, bytes)) {
        found = {argument, first, bytes};
    }
}

void check_arguments(const Launch& launch, void** arguments) {
    Unusable found;
    launch.kernel->visit_pointers(arguments, check_pointer, &found);
    if (found.argument < 0) {
        return;
    }
    std::string name = "kernel " + launch.name + ": argument " + std::to_string(found.argument);
    require_memory(found.first, std::max<std::size_t>(found.bytes, 1), name.c_str());
    throw Failure{cudaErrorIllegalAddress};
}

}  // namespace

void run_kernel(const Launch& launch, void** arguments) {
    check_arguments(launch, arguments);
    std::lock_guard<std::mutex> lock(execution);
    runner.run(launch, arguments);
}

}  // namespace host_cuda
