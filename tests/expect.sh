# For the tests of the command lines: `program` is what they run, `failed` says whether any failed.
failed=0
# expect EXIT_CODE "what the output must contain" arguments…
expect() {
  code=$1 words=$2
  shift 2
  output=$("$program" "$@" 2>&1)
  got=$?
  if [ "$got" -ne "$code" ] || ! printf '%s' "$output" | grep -qF -- "$words"; then
    printf 'FAILED: %s %s\n  expected exit %s and "%s"\n  got exit %s:\n%s\n' "${program##*/}" "$*" "$code" "$words" "$got" "$output"
    failed=1
  fi
}
