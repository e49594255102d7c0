# Tries: to write lines of its own into messages and logs: an output whose name has a line feed in it.
# Stopped by: the definition is refused; the message shows the name with its line feed escaped.
cat > portcullis.build.yaml <<END
$TOOLCHAIN
targets:
  definition-newline: { command: ["true"], outputs: ["out\\nerror: all is well"] }
END
git add .
