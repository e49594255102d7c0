# Tries: to start more processes than it declared, and fails when it cannot.
# Stopped by: the control group's limit on processes, which the message names.
n=0
while [ $n -lt 200 ]; do
  sleep 5 &
  n=$((n + 1))
done
wait
echo "200 at once: DONE" > report
