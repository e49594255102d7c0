# Tries: to have a file taken through a folder that is a link.
# Stopped by: an output is reached through plain folders only.
mkdir other; cp attack.h other/report; ln -s other out
