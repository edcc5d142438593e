#!/bin/sh
# Process 1 of a lab node: gives the node its own disk, /run, /dev/shm and name, then reaps orphans.
# Usage: node_init.sh STATE NAME PATH...   (each PATH becomes copy-on-write: reads the machine's,
# writes to STATE/nodes/NAME/disk)
set -e
state=$1 name=$2
shift 2
home=$state/nodes/$name
read -r pid _ < /proc/self/stat # still the enclosure's /proc: its number for this process
mount -n -t proc proc /proc
hostname "$name"
for path in "$@"; do
    mount -n -t overlay "$name" -o "lowerdir=$path,upperdir=$home/disk$path,workdir=$home/work$path" "$path"
done
mount -n -t tmpfs -o mode=1777,size=512m tmpfs /dev/shm
mount -n -t tmpfs -o mode=755 tmpfs "$home/run"
mkdir -p "$home/run/lock" "$home/run/crm" "$home/run/heartbeat" "$home/run/resource-agents" "$home/run${state#/run}"
chown hacluster:haclient "$home/run/crm"
chmod 750 "$home/run/crm"
chmod 1755 "$home/run/resource-agents"
mount -n --bind "$state" "$home/run${state#/run}"
mount -n --move "$home/run" /run
echo "$pid" > "$home/pid.new"
mv "$home/pid.new" "$home/pid"
trap '' HUP INT TERM
while :; do
    sleep 86400 &
    wait $! || :
done
