# Tries: to exhaust the orchestrator before any sandbox is there: a commit of a few hundred bytes whose folders name one
# another, so that ten thousand million files would be listed and checked out.
# Stopped by: the files are counted while git lists them, and a commit that has too many is refused.
line="100644 blob $(git hash-object -w attack.h)"
for level in 1 2 3 4 5 6 7 8 9 10; do
  tree=$(for n in 0 1 2 3 4 5 6 7 8 9; do printf '%s\tf%s\n' "$line" "$n"; done | git mktree)
  line="040000 tree $tree"
done
tree=$({ git ls-tree HEAD; printf '%s\tbomb\n' "$line"; } | git mktree)
git update-ref refs/heads/main "$(git commit-tree -p HEAD -m bomb "$tree")"
