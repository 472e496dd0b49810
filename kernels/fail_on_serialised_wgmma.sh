#!/bin/sh
# Compiler launcher: passes the command through, and fails it when ptxas says that it serialised wgmma
# or ignored setmaxnreg (C7507 … C7520). ptxas calls these "info", so -Werror does not see them, and
# the kernel they speak of runs at half its speed.
log=$(mktemp) || exit 1
"$@" 2>"$log"
status=$?
cat "$log" >&2
if grep -Eq '\(C75(0[7-9]|1[0-9]|20)\)' "$log"; then
  echo "error: ptxas gave up wgmma pipelining or setmaxnreg (see above)" >&2
  status=1
fi
rm -f "$log"
exit "$status"
