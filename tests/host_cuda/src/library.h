// What the emulated libraries share: handles, arguments that are refused, work on a stream.
#pragma once

#include "host_cuda.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

namespace host_cuda {

// The reason why a function of a library refuses to do its work.
enum class Refused { handle, value, unsupported, execution };

struct Refusal {
    Refused kind;
    std::string reason;
};

// The statuses by which one library reports the kinds of refusal.
struct Statuses {
    int handle;
    int value;
    int unsupported;
    int execution;

    int of(Refused kind) const {
        switch (kind) {
            case Refused::handle:
                return handle;
            case Refused::value:
                return value;
            case Refused::unsupported:
                return unsupported;
            default:
                return execution;
        }
    }
};

// Functions that are called often pass a literal as the reason: a std::string costs time.
template <class Reason>
void require(bool holds, Refused kind, const Reason& reason) {
    if (!holds) {
        throw Refusal{kind, std::string(reason)};
    }
}

template <class Reason>
void require_value(bool holds, const Reason& reason) {
    require(holds, Refused::value, reason);
}

[[noreturn]] inline void refuse_value(const std::string& reason) {
    throw Refusal{Refused::value, reason};
}

// Runs the body of an entry point, which may throw, and returns the status.
template <class Body>
int guarded(const char* function, const Statuses& statuses, Body body) {
    try {
        body();
        return 0;
    } catch (const Refusal& refusal) {
        std::fprintf(stderr, "host_cuda: %s: %s\n", function, refusal.reason.c_str());
        return statuses.of(refusal.kind);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "host_cuda: %s: %s\n", function, error.what());
        return statuses.handle;
    }
}

inline void require_count(long long n, const char* name) {
    if (n < 0) {
        refuse_value(std::string(name) + " is " + std::to_string(n) + ", expected 0 or more");
    }
}

// For use inside work: `n` elements from `p` on lie in memory of the device.
template <class T>
void require_array(const T* p, std::size_t n, const char* name) {
    require_memory(p, n * sizeof(T), name);
}

// A matrix on the device, column by column, each `ld` elements after the last. The shape is checked
// when the function is called, the memory when the work runs.
template <class T>
class Matrix {
  public:
    Matrix(T* data, int rows, int columns, int ld, const char* name)
        : data_(data), rows_(rows), columns_(columns), ld_(ld), name_(name) {
        require_count(rows, "the number of rows");
        require_count(columns, "the number of columns");
        if (ld < std::max(1, rows)) {
            refuse_value(std::string("the leading dimension of ") + name + " is " +
                         std::to_string(ld) + ", expected at least " +
                         std::to_string(std::max(1, rows)));
        }
    }

    // The memory, after a check that it is the device's.
    T* data() const {
        return at(data_);
    }

    // The same for a matrix of this shape elsewhere: one of a batch.
    T* at(T* data) const {
        const bool empty = rows_ == 0 || columns_ == 0;
        require_array(data, empty ? 0 : std::size_t(columns_ - 1) * ld_ + rows_, name_);
        return data;
    }

    T* at(long long offset) const {
        return at(data_ + offset);
    }

    int rows() const {
        return rows_;
    }
    int columns() const {
        return columns_;
    }
    int ld() const {
        return ld_;
    }

  private:
    T* data_;
    int rows_;
    int columns_;
    int ld_;
    const char* name_;
};

// A batch of matrices that are found through an array of pointers, which lies on the device too.
template <class T>
class Batch {
  public:
    Batch(T* const* pointers, int count, int rows, int columns, int ld, const char* name)
        : pointers_(pointers), count_(count), one_(nullptr, rows, columns, ld, name) {
        require_count(count, "the batch");
    }

    int count() const {
        return count_;
    }

    T* operator[](int i) const {
        require_array(pointers_ + i, 1, "an array of pointers to matrices");
        return one_.at(pointers_[i]);
    }

  private:
    T* const* pointers_;
    int count_;
    Matrix<T> one_;
};

// The objects behind the handles of a library, which are numbers cast to the library's own handle
// type. A number is never used twice: a handle that was destroyed, or never created, is
// refused. Nothing is destroyed when the process ends, because CuPy may still destroy its handles
// then.
template <class Object, class Handle = void*>
class Handles {
  public:
    Handle create() {
        const std::lock_guard<std::mutex> lock(state_.mutex);
        const auto handle = Handle(++state_.last);
        state_.objects[handle] = std::make_unique<Object>();
        return handle;
    }

    void destroy(Handle handle) {
        const std::lock_guard<std::mutex> lock(state_.mutex);
        require_known(state_.objects.erase(handle) == 1);
    }

    Object& find(Handle handle) {
        const std::lock_guard<std::mutex> lock(state_.mutex);
        const auto found = state_.objects.find(handle);
        require_known(found != state_.objects.end());
        return *found->second;
    }

  private:
    struct State {
        std::mutex mutex;
        std::uintptr_t last = 0;
        std::unordered_map<Handle, std::unique_ptr<Object>> objects;
    };

    static void require_known(bool known) {
        require(known, Refused::handle, "expected a handle that was created and not destroyed");
    }

    State& state_ = *new State;
};

inline void require_success(cudaError_t error) {
    if (error != cudaSuccess) {
        throw Refusal{Refused::execution, cudaGetErrorString(error)};
    }
}

// An index into the letters by which BLAS and LAPACK choose.
inline char choice(int index, const char* letters, const char* name) {
    if (index < 0 || std::size_t(index) >= std::strlen(letters)) {
        refuse_value(std::string(name) + " is " + std::to_string(index) +
                     ", expected an index into " + letters);
    }
    return letters[index];
}

// Counts a launch, and submits its work to the stream.
template <class Work>
void launch(const char* function, cudaStream_t stream, Work work) {
    count(Event::launch, function);
    require_success(submit(stream, std::move(work)));
}

// The same for a product of matrices.
template <class Work>
void product(const char* function, cudaStream_t stream, Work work) {
    count(Event::product, function);
    require_success(submit(stream, std::move(work)));
}

}  // namespace host_cuda
