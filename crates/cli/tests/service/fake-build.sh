#!/bin/sh
# Stands in for `portcullis build --served`: takes the same command line, ends when its standard input closes, publishes
# an artifact and a bundle, and "signs" with a ledger that, as the signer does, takes one record for one invocation.
# TESTDIR is replaced when it is written.
exec 3<&0
(cat <&3; kill -KILL 0) >/dev/null 2>&1 &
exec 3<&- </dev/null
for word; do
  case $word in
    --out) next=out ;;
    --invocation=*) id=${word#*=} ;;
    --target=*) target=${word#*=} ;;
    --ref=*) ref=${word#*=} ;;
    --protected=*) protected=${word#*=} ;;
    *) [ "$next" = out ] && out=$word; next= ;;
  esac
done
fail() {
  printf '{"error":"%s","lines":[{"label":"fix","text":"%s"}],"files":[]}\n' "$1" "$2"
  exit 2
}
env >"TESTDIR/environment"
echo "building $target of $ref, which descends from $protected" >&2
record="$id $target"
case $target in
  slow) sleep 20 ;;
  fail) fail "the command ended with 1" "see the log" ;;
  crash) kill -KILL $$ ;;
  deaf) trap '' TERM; while :; do sleep 1; done ;;
  chatty) i=0; while [ $i -lt 20000 ]; do echo "line $i of many that a build says"; i=$((i + 1)); done >&2 ;;
  other) sleep 0.0$(($$ % 9)); record="$record $$ $(date +%N)" ;;
  *) sleep 0.0$(($$ % 9)) ;;
esac
echo "signing" >&2
printf '%s\n' "$record" >"TESTDIR/ledger/$$.new"
if ! ln "TESTDIR/ledger/$$.new" "TESTDIR/ledger/$id" 2>/dev/null; then
  cmp -s "TESTDIR/ledger/$$.new" "TESTDIR/ledger/$id" || fail "the signer refused: it has signed another record for this build" "submit the build again"
fi
printf '{"signed":"%s"}\n' "$record" >"$out/shop.sigstore.json"
printf 'artifact of %s\n' "$record" >"$out/.shop.tmp"
mv "$out/.shop.tmp" "$out/shop"
printf '{"outputs":[{"artifact":"%s/shop","bundle":"%s/shop.sigstore.json"}]}\n' "$out" "$out"
