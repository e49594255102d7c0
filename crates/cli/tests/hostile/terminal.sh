# Tries: to drive the terminal of whoever reads why the build failed: escape sequences, C1 controls, a title that is
# typed back, text that overwrites a line or runs from right to left.
# Stopped by: no control character of a build's output is printed.
printf 'before\033]0;evil\007\033[2J\033[1A\302\233\0632J\rerror: no error\b\b\342\200\256txet\342\200\250line\n' >&2
exit 7
