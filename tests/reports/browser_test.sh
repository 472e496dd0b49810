#!/bin/sh
# Opens the sample report in headless Chromium: toggles, hovering, layout at 1280 and 390 px, dark and
# light, JavaScript off. Argument: the write_samples program. Exit 77 where the browser is missing.
set -eu
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$chromium" ] && [ "${KVROOF_INSTALL_BROWSER:-}" = 1 ]; then
  apt-get install -y --no-install-recommends chromium >/dev/null && chromium=$(command -v chromium)
fi
if [ -z "$chromium" ]; then
  echo "skipped: no Chromium (apt-get install chromium, or KVROOF_INSTALL_BROWSER=1)"
  exit 77
fi
if ! command -v node >/dev/null; then
  echo "skipped: no node (apt-get install nodejs)"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/svg" "$work/profile"
"$1" "$work/svg" "$work/report.html"
node "$(dirname "$0")/browser_test.js" "$chromium" "$work/profile" "$work/report.html" "${KVROOF_SHOTS:-}"
