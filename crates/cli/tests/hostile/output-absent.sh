# Tries: to have an earlier build's output published, by making none.
# Stopped by: an output must be there; the work folder is new in every build.
:
