// NVRTC: compiles kernels with g++ to shared libraries, which driver.cpp loads.
//
// The libraries are kept in a folder for all processes, named by a hash of the source and of all
// that it depends on. A file there is complete: it gets its name after it has been written.
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <vector>

#include "core.h"

extern char** environ;

namespace host_cuda {
namespace {

// The results that NVRTC's functions return here; nothing else of its header is needed.
enum Result {
    success = 0,
    invalid_program = 4,
    compilation_failed = 6,
    name_not_known = 10,
    internal_error = 11,
};

struct Program {
    std::string source;
    std::string name;
    std::vector<std::string> expressions;        // instances of templates that are kernels too
    std::map<std::string, std::string> lowered;  // their names in the module
    std::string image;                           // the path of the library
    std::string log;
};

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::stringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        if (!line.empty()) {
            lines.push_back(line);
        }
    }
    return lines;
}

// What build.py wrote: the command of the compiler, one word a line, and what identifies the
// compiler, the prelude and CuPy's headers.
const std::vector<std::string>& compiler() {
    static const std::vector<std::string> words =
        lines_of(read_file(settings().folder + "/compiler"));
    return words;
}

const std::string& fingerprint() {
    static const std::string text = read_file(settings().folder + "/fingerprint");
    return text;
}

// --- the source ----------------------------------------------------------------------------------

bool starts_with(const std::string& text, const char* prefix) {
    return text.rfind(prefix, 0) == 0;
}

bool contains(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

// Comments and strings blanked out, so that what is found is code. Lengths stay.
std::string code_only(const std::string& source) {
    static const std::regex ignored(
        R"re(//[^\n]*|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/|"(?:[^"\\\n]|\\.)*")re");
    std::string code = source;
    for (std::sregex_iterator found(source.begin(), source.end(), ignored), end; found != end;
         ++found) {
        std::string text = found->str();
        if (text == "\"C\"") {
            continue;
        }
        code.replace(found->position(), text.size(), std::string(text.size(), ' '));
    }
    return code;
}

// The names of the kernels that have C's linkage; templates are found by their name expressions.
std::vector<std::string> kernel_names(const std::string& code) {
    static const std::regex pattern(R"(__global__\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?void\s+)"
                                    R"((?:__launch_bounds__\s*\([^)]*\)\s*)?([A-Za-z_]\w*)\s*\()");
    static const std::regex c_before(R"(extern\s*"C"\s*$)");
    bool block = std::regex_search(code, std::regex(R"(extern\s*"C"\s*\{)"));
    std::vector<std::string> names;
    for (std::sregex_iterator found(code.begin(), code.end(), pattern), end; found != end;
         ++found) {
        std::size_t from = found->position() > 64 ? found->position() - 64 : 0;
        std::string before = code.substr(from, found->position() - from);
        bool is_template = std::regex_search(before, std::regex(R"(>\s*$)"));
        bool linked = std::regex_search(before, c_before);
        if (linked || (block && !is_template)) {
            names.push_back((*found)[1]);
        }
    }
    return names;
}

// Whether the kernels are loops with the stride of their grid, CUPY_FOR, and use the grid for
// nothing else. Then one thread computes what all threads would, in the same order.
bool is_grid_stride(const std::string& code) {
    static const std::regex sees_threads(
        R"(\b(threadIdx|blockIdx|blockDim|gridDim|return|__shared__|__sync\w*|__shfl\w*|)"
        R"(__ballot\w*|__any\w*|__all\w*|__activemask|assert|asm)\b)");
    return contains(code, "CUPY_FOR") && !std::regex_search(code, sees_threads);
}

// `extern __shared__ T name[];` becomes a pointer to the dynamic shared memory.
std::string with_dynamic_memory(const std::string& source) {
    static const std::regex pattern(
        R"(extern\s+__shared__\s+([^;\[\]]*?)\s*\b([A-Za-z_]\w*)\s*\[\s*\]\s*;)");
    return std::regex_replace(source, pattern,
                              "static $1* const $2 = reinterpret_cast<$1*>(host_cuda_dynamic);");
}

// The declarations by which the launcher finds a kernel; see the end of prelude.h.
std::string registration(const std::string& name, const std::string& kernel, bool grid_stride) {
    return "static constexpr auto host_cuda_pointer_" + name + " = &" + kernel + ";\n" +
           "HOST_CUDA_KERNEL(" + name + (grid_stride ? ", true)\n" : ", false)\n");
}

std::string registrations(const Program& program, const std::string& code) {
    bool grid_stride = is_grid_stride(code);
    std::string text = "\n";
    for (const std::string& name : kernel_names(code)) {
        text += registration(name, name, grid_stride);
    }
    for (const std::string& expression : program.expressions) {
        text += registration(program.lowered.at(expression), expression, grid_stride);
    }
    return text;
}

std::string whole_source(const Program& program) {
    std::string name = program.name.empty() ? "kernel.cu" : program.name;
    std::string code = code_only(program.source);
    return "#line 1 \"" + name + "\"\n" + with_dynamic_memory(program.source) +
           registrations(program, code);
}

std::string real_path(const std::string& path) {
    char resolved[PATH_MAX];
    return realpath(path.c_str(), resolved) ? resolved : path;
}

// Whether the compiler searches the folder anyway. Then its name, which differs between machines,
// need not be among the options.
bool is_searched(const std::string& folder) {
    static const std::set<std::string> searched = [] {
        std::set<std::string> folders;
        for (const std::string& word : compiler()) {
            if (starts_with(word, "-I")) {
                folders.insert(real_path(word.substr(2)));
            }
        }
        return folders;
    }();
    return searched.count(real_path(folder)) > 0;
}

// The options that g++ understands, without architectures and precisions.
std::vector<std::string> kept_options(int count, const char* const* options) {
    std::vector<std::string> kept;
    for (int i = 0; i < count; i++) {
        std::string option = options[i];
        bool macro = starts_with(option, "-D") || starts_with(option, "-U");
        bool folder = starts_with(option, "-I") && !contains(option, "_cccl");
        if (macro || (folder && !is_searched(option.substr(2)))) {
            kept.push_back(option);
        }
    }
    return kept;
}

// --- the cache -----------------------------------------------------------------------------------

std::string hash(const std::string& text) {
    std::hash<std::string> hasher;
    char name[40];
    std::snprintf(name, sizeof name, "%016zx%016zx", hasher(text), hasher("second half " + text));
    return name;
}

// A name that no other process or thread uses.
std::string unique_suffix() {
    static std::atomic<int> number{0};
    return "." + std::to_string(getpid()) + "-" + std::to_string(number++);
}

// Runs the command with its standard error in a file; returns whether it succeeded.
bool run_command(const std::vector<std::string>& words, const std::string& log) {
    std::vector<char*> arguments;
    for (const std::string& word : words) {
        arguments.push_back(const_cast<char*>(word.c_str()));
    }
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    int flags = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(), flags, 0644);
    pid_t child = 0;
    int failed = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed) {
        std::ofstream(log) << words[0] << ": " << std::strerror(failed) << "\n";
        return false;
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Compiles to `library`, by way of files of this process's own.
Result compile_to(const std::string& library, const std::string& source,
                  const std::vector<std::string>& options, std::string& log) {
    std::string own = library + unique_suffix();
    std::string source_path = own + ".cpp";
    std::string log_path = own + ".log";
    std::ofstream(source_path, std::ios::binary) << source;
    std::vector<std::string> command = compiler();
    command.insert(command.end(), options.begin(), options.end());
    command.insert(command.end(), {source_path, "-o", own});
    bool compiled = run_command(command, log_path);
    log = read_file(log_path);
    unlink(log_path.c_str());
    unlink(source_path.c_str());
    if (!compiled) {
        unlink(own.c_str());
        return compilation_failed;
    }
    return std::rename(own.c_str(), library.c_str()) == 0 ? success : internal_error;
}

Result compile(Program& program, int count_of_options, const char* const* options) {
    if (compiler().empty() || fingerprint().empty()) {
        program.log = "HOST_CUDA=" + settings().folder + " is not what build.py built";
        return internal_error;
    }
    for (std::size_t i = 0; i < program.expressions.size(); i++) {
        program.lowered[program.expressions[i]] = "instance_" + std::to_string(i);
    }
    std::vector<std::string> kept = kept_options(count_of_options, options);
    std::string source = whole_source(program);
    std::string key = fingerprint() + source;
    for (const std::string& option : kept) {
        key += "\n" + option;
    }
    mkdir(settings().kernels.c_str(), 0755);
    std::string library = settings().kernels + "/" + hash(key) + ".so";
    if (access(library.c_str(), R_OK) != 0) {
        Result result = compile_to(library, source, kept, program.log);
        if (result != success) {
            return result;
        }
    }
    program.image = library;
    return success;
}

}  // namespace
}  // namespace host_cuda

using namespace host_cuda;

API const char* nvrtcGetErrorString(int result) {
    switch (result) {
        case success:
            return "NVRTC_SUCCESS";
        case compilation_failed:
            return "NVRTC_ERROR_COMPILATION";
        case invalid_program:
            return "NVRTC_ERROR_INVALID_PROGRAM";
        case name_not_known:
            return "NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID";
        default:
            return "NVRTC_ERROR_INTERNAL_ERROR";
    }
}

API int nvrtcVersion(int* major, int* minor) {
    *major = 13;
    *minor = 0;
    return success;
}

API int nvrtcCreateProgram(Program** program, const char* source, const char* name, int headers,
                           const char* const*, const char* const*) {
    if (headers > 0) {
        complain("nvrtcCreateProgram: headers in memory are not emulated");
        return internal_error;
    }
    *program = new Program;
    (*program)->source = source;
    (*program)->name = name ? name : "";
    return success;
}

API int nvrtcDestroyProgram(Program** program) {
    delete *program;
    *program = nullptr;
    return success;
}

API int nvrtcAddNameExpression(Program* program, const char* expression) {
    program->expressions.push_back(expression);
    return success;
}

API int nvrtcGetLoweredName(Program* program, const char* expression, const char** name) {
    auto found = program->lowered.find(expression);
    if (found == program->lowered.end()) {
        return name_not_known;
    }
    *name = found->second.c_str();
    return success;
}

// CuPy compiles an empty program to learn the compiler's version; this is not counted.
API int nvrtcCompileProgram(Program* program, int count_of_options, const char* const* options) {
    if (program->source.empty()) {
        program->image = "// g++ in place of NVRTC";
        return success;
    }
    count(Event::compile, program->name);
    return compile(*program, count_of_options, options);
}

API int nvrtcGetProgramLogSize(Program* program, size_t* size) {
    *size = program->log.size() + 1;
    return success;
}

API int nvrtcGetProgramLog(Program* program, char* log) {
    std::memcpy(log, program->log.c_str(), program->log.size() + 1);
    return success;
}

API int nvrtcGetPTXSize(Program* program, size_t* size) {
    *size = program->image.size() + 1;
    return success;
}

API int nvrtcGetPTX(Program* program, char* image) {
    std::memcpy(image, program->image.c_str(), program->image.size() + 1);
    return success;
}

API int nvrtcGetCUBINSize(Program* program, size_t* size) {
    return nvrtcGetPTXSize(program, size);
}

API int nvrtcGetCUBIN(Program* program, char* image) {
    return nvrtcGetPTX(program, image);
}

API int nvrtcGetNumSupportedArchs(int* count) {
    *count = 1;
    return success;
}

API int nvrtcGetSupportedArchs(int* architectures) {
    architectures[0] = 90;
    return success;
}
