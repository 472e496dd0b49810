# cmake -DSOURCE=… -DOUT=… -P commit.cmake: commit.hpp with the commit of the sources, rewritten only
# when it changes.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit "unknown")
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#pragma once
namespace kvroof::probe {
inline constexpr const char* kCommit = \"@commit@\";
}
" @ONLY)
