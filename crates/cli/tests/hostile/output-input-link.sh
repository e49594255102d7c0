# Tries: to have an input published as if it were built: its output is a link to it.
# Stopped by: an output is opened through no link at all.
ln -s /build/inputs/data/input.txt report
