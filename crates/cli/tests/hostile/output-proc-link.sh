# Tries: to have a file of the orchestrator published: the folder of its output is a link into /proc.
# Stopped by: an output is reached through plain folders only.
ln -s /proc/self/root out
