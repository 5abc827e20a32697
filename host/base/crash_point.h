// Places where a test has the process killed, as `kill -9` or a power cut would. Only in builds
// with tests; elsewhere they are nothing.
//
// MINNOW_CRASH_AT="batch.synced" kills at the first passage, "batch.synced:7" at the seventh.
// Threads: any.
#pragma once

#ifdef MINNOW_CRASH_POINTS
namespace minnow {
void CrashPoint(const char* name);
}
#define MNW_CRASH_POINT(name) ::minnow::CrashPoint(name)
#else
#define MNW_CRASH_POINT(name) static_cast<void>(0)
#endif
