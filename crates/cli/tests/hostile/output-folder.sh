# Tries: to have a folder published, whose content no digest covers.
# Stopped by: an output must be a plain file.
mkdir report; echo x > report/x
