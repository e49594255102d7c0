# Tries: to have the orchestrator read its definition from the host: portcullis.build.yaml is a symbolic link.
# Stopped by: only a plain file of the commit counts.
rm portcullis.build.yaml
ln -s /etc/passwd portcullis.build.yaml
git add .
