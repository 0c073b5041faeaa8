// The threads of this process that help to compute: see threads.h.
//
// They are started when they are first needed, and live as long as the process. All that a job is
// lies in one number, `work`: which job it is, how many parts it has, and which part is the next
// one. A thread takes a part by increasing that number with a compare-and-swap; so it can neither
// take a part twice, nor one of a job that has ended. The caller of a job takes parts like the
// other threads, and then waits for those that others have taken: a thread that the system does not
// wake in time costs nothing but its help.
//
// A thread without work spins for some 50 us, since the next job of a plan mostly comes sooner, and
// then sleeps.
#include "threads.h"

#include <stdatomic.h>

// ---- what the systems call it -------------------------------------------------------------------

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

typedef SRWLOCK lock;
typedef CONDITION_VARIABLE condition;

#define LOCK_READY SRWLOCK_INIT
#define CONDITION_READY CONDITION_VARIABLE_INIT

static void acquire(lock* x) { AcquireSRWLockExclusive(x); }
static void release(lock* x) { ReleaseSRWLockExclusive(x); }
static void wait_for(condition* x, lock* held) { SleepConditionVariableSRW(x, held, INFINITE, 0); }
static void wake_one(condition* x) { WakeConditionVariable(x); }
static void let_others_run(void) { SwitchToThread(); }

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>

typedef pthread_mutex_t lock;
typedef pthread_cond_t condition;

#define LOCK_READY PTHREAD_MUTEX_INITIALIZER
#define CONDITION_READY PTHREAD_COND_INITIALIZER

static void acquire(lock* x) { pthread_mutex_lock(x); }
static void release(lock* x) { pthread_mutex_unlock(x); }
static void wait_for(condition* x, lock* held) { pthread_cond_wait(x, held); }
static void wake_one(condition* x) { pthread_cond_signal(x); }
static void let_others_run(void) { sched_yield(); }

#endif

// Lets the processor's other threads have more of it, for some 10 to 50 ns.
static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

// ---- the pool -----------------------------------------------------------------------------------

#define SPINS 4000         // pauses before a thread sleeps
#define SPINS_TO_WAIT 200  // pauses between two times that a caller lets other threads run

// Jobs and their parts in one number: the job's number << 32 | its parts << 16 | its next part.
#define PARTS_OF(work) ((int64_t)((work) >> 16 & 0xffff))
#define NEXT_OF(work) ((int64_t)((work) & 0xffff))
#define NUMBER_OF(work) ((work) >> 32)

typedef struct {
    _Alignas(64) atomic_ullong work;
    _Alignas(64) atomic_llong done;  // parts of the job that have been computed
    part_function task;              // of the job; as `data`, read only by who has taken a part
    void* data;
    _Alignas(64) atomic_int taken;  // whether a caller has the pool
    int started;                    // threads; read and written by who has the pool
    int refused;                    // whether the system did not start one
    int watched;                    // whether after_fork is registered
    atomic_int sleeping;            // threads; changed under the lock
    lock lock;
    condition wake;
} threads;

// The only data of this library that changes: what is in it is either atomic, or belongs to who has
// set `taken`.
static threads pool = {.lock = LOCK_READY, .wake = CONDITION_READY};

static int has_parts(unsigned long long work) { return NEXT_OF(work) < PARTS_OF(work); }

// Computes parts of the job until all are taken.
static void take_parts(void) {
    unsigned long long work = atomic_load(&pool.work);
    while (has_parts(work)) {
        if (atomic_compare_exchange_weak(&pool.work, &work, work + 1)) {
            pool.task(pool.data, NEXT_OF(work));
            atomic_fetch_add(&pool.done, 1);
            work = atomic_load(&pool.work);
        }
    }
}

// Whether there is work within some time.
static int spin(void) {
    for (int i = 0; i < SPINS; i++) {
        if (has_parts(atomic_load(&pool.work))) return 1;
        relax();
    }
    return 0;
}

static void sleep_until_work(void) {
    acquire(&pool.lock);
    atomic_fetch_add(&pool.sleeping, 1);
    while (!has_parts(atomic_load(&pool.work))) wait_for(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleeping, 1);
    release(&pool.lock);
}

static void work_forever(void) {
    for (;;) {
        take_parts();
        if (!spin()) sleep_until_work();
    }
}

// ---- starting threads ---------------------------------------------------------------------------

#if defined(_WIN32)

static DWORD WINAPI thread_main(LPVOID unused) {
    (void)unused;
    work_forever();
    return 0;
}

static int start_thread(void) {
    const HANDLE thread = CreateThread(NULL, 0, thread_main, NULL, 0, NULL);
    if (thread == NULL) return 0;
    CloseHandle(thread);
    return 1;
}

static void watch_forks(void) {}

#else

static void* thread_main(void* unused) {
    (void)unused;
    work_forever();
    return NULL;
}

// Signals go to the threads of the program, not to this library's.
static int start_thread(void) {
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&thread, NULL, thread_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) return 0;
    pthread_detach(thread);
    return 1;
}

// In the new process there is only the thread that called fork(): the pool begins anew.
static void after_fork(void) {
    atomic_store(&pool.work, 0);
    atomic_store(&pool.done, 0);
    atomic_store(&pool.taken, 0);
    atomic_store(&pool.sleeping, 0);
    pool.started = 0;
    pool.refused = 0;
    pool.lock = (lock)LOCK_READY;
    pool.wake = (condition)CONDITION_READY;
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork); }

#endif

// Sees to it that so many threads are there, if the system starts them.
static void start_threads(int wanted) {
    if (!pool.watched) watch_forks();
    pool.watched = 1;
    while (pool.started < wanted && !pool.refused) {
        pool.refused = !start_thread();
        pool.started += !pool.refused;
    }
}

// ---- jobs ---------------------------------------------------------------------------------------

static void wake_sleepers(int64_t wanted) {
    if (atomic_load(&pool.sleeping) == 0) return;
    acquire(&pool.lock);
    const int64_t sleeping = atomic_load(&pool.sleeping);
    for (int64_t i = 0; i < wanted && i < sleeping; i++) wake_one(&pool.wake);
    release(&pool.lock);
}

static void wait_until_done(int64_t parts) {
    for (int64_t i = 1; atomic_load(&pool.done) < parts; i++) {
        if (i % SPINS_TO_WAIT == 0) {
            let_others_run();
        } else {
            relax();
        }
    }
}

void xpnet_parallel(part_function task, void* data, int64_t parts) {
    int nobody = 0;
    if (parts == 1 || !atomic_compare_exchange_strong(&pool.taken, &nobody, 1)) {
        for (int64_t part = 0; part < parts; part++) task(data, part);
        return;
    }
    start_threads((int)parts - 1);
    pool.task = task;
    pool.data = data;
    atomic_store(&pool.done, 0);
    const unsigned long long number = NUMBER_OF(atomic_load(&pool.work)) + 1;
    atomic_store(&pool.work, number << 32 | (unsigned long long)parts << 16);
    wake_sleepers(parts - 1);
    take_parts();
    wait_until_done(parts);
    atomic_store(&pool.taken, 0);
}
