# Tries: to have a file of the host published: an output above the source.
# Stopped by: the definition is refused.
cat > portcullis.build.yaml <<END
$TOOLCHAIN
targets:
  definition-outside: { command: ["true"], outputs: [../../etc/passwd, /etc/passwd] }
END
git add .
