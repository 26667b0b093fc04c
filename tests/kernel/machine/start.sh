#!/bin/sh
# Starts from the first disk: mounts the rest, runs what the kernel's command line names, ends.
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/shm /dev/pts
mount -t devpts pts /dev/pts
for folder in /tmp /run /dev/shm; do mount -t tmpfs tmpfs "$folder"; done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t ext4 -o ro /dev/vdb /project
mount -t ext4 /dev/vdc /scratch
mkdir -p /scratch/results
ip link set lo up
export HOME=/tmp LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/packages:/project CI=true
export HEARTH_SCRATCH=/scratch
cd /project
for word in $(cat /proc/cmdline); do
  case $word in hearth.python=*) python=${word#*=} ;; esac
done
"$python" /project/tests/kernel/machine/guest.py >/scratch/results/output 2>&1
echo $? >/scratch/results/status
cat /scratch/results/output
umount /scratch
echo o >/proc/sysrq-trigger
sleep 60
