# Tries: to have the compiler see another text than reviewers and the digest of the source do: the repository's
# .gitattributes asks for expansion, other line ends, another encoding and a filter; a hook lies in the tree.
# Stopped by: the files are checked out byte for byte, with no attribute, no filter and no hook.
cat > check.sh <<'END'
{
  [ "$(cat text)" = '$Id$' ] && echo "expansion: nothing" || echo "expansion: DONE"
  [ "$(wc -c < text)" = 5 ] && echo "encoding and line ends: nothing" || echo "encoding or line ends: DONE"
  [ -e hooked ] && echo "hook: DONE" || echo "hook: nothing"
  [ -e .git ] && echo "repository: DONE" || echo "repository: nothing"
} > report
END
cat > portcullis.build.yaml <<END
$TOOLCHAIN
targets:
  git-attributes: { command: [sh, check.sh], outputs: [report] }
END
printf '#!/bin/sh\ntouch hooked\n' > .git/hooks/post-checkout
chmod 755 .git/hooks/post-checkout
git add .
blob=$(printf '$Id$\n' | git hash-object -w --stdin)
git update-index --add --cacheinfo "100644,$blob,text"
blob=$(printf 'text ident text eol=crlf working-tree-encoding=UTF-16 filter=evil\n' | git hash-object -w --stdin)
git update-index --add --cacheinfo "100644,$blob,.gitattributes"
