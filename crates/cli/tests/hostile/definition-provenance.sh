# Tries: to overwrite the provenance of its own artifact: an output with the name of the bundle.
# Stopped by: the definition is refused.
cat > portcullis.build.yaml <<END
$TOOLCHAIN
targets:
  definition-provenance: { command: ["true"], outputs: [shop, x/shop.sigstore.json] }
END
git add .
