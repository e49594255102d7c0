# Tries: to load a library of its own into every program of the sandbox: LD_PRELOAD in the declared environment.
# Stopped by: the definition is refused: the variable is fixed in every build.
cat > portcullis.build.yaml <<END
$TOOLCHAIN
targets:
  definition-preload:
    command: ["true"]
    outputs: [x]
    environment: { LD_PRELOAD: /build/src/evil.so }
END
git add .
