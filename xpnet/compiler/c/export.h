// Which functions can be called from outside of the library.
#ifndef XPNET_EXPORT_H
#define XPNET_EXPORT_H

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#endif  // XPNET_EXPORT_H
