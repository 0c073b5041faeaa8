// CuPy's complex.h opens its namespace by the macros of Thrust's header of this name.
#pragma once
#define THRUST_NAMESPACE_BEGIN namespace thrust {
#define THRUST_NAMESPACE_END }
