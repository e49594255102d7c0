# Tries: to have a file of the host published: its output is a link to it.
# Stopped by: an output is opened through no link at all.
ln -s /etc/passwd report
