// What happens when a mapped file cannot be read any more: it shrank, or its disk failed.
//
// The system then sends SIGBUS to the thread that touched the page, and there is nothing to go on
// with. ExitOnMappingFault makes of that one line on stderr, which names the file, and exit code 74
// (EX_IOERR), so that whoever supervises the process can tell it from a crash and start it again.
// Any other SIGBUS does what it always did. Called by main, once: signal handlers are the
// program's. Threads: before others start.
#pragma once

namespace minnow {

inline constexpr int kExitMappingFault = 74;

void ExitOnMappingFault();

}  // namespace minnow
