# The first process of a sandbox, in mount, network and process namespaces of its own. It makes what
# engines change private, says so, and stays until its input ends; with it ends every process here.
set -e
# As systemd leaves it on most hosts. Nothing of this reaches the host: the mounts are copies.
mount --make-rshared /
# Sockets, locks, named network namespaces, and the state of runtimes.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock
# Users, registries' and networks' configuration, and a place that CNI looks for plugins in besides
# Debian's: what is written there is gone afterwards.
for folder in etc opt; do
    mkdir -p "/run/over/$folder/upper" "/run/over/$folder/work"
    mount -t overlay -o "lowerdir=/$folder,upperdir=/run/over/$folder/upper,workdir=/run/over/$folder/work" \
        overlay "/$folder"
done
mkdir -p /opt/cni
[ -e /opt/cni/bin ] || ln -s /usr/lib/cni /opt/cni/bin
rm -f /etc/resolv.conf
echo "nameserver 192.0.2.53" >/etc/resolv.conf
mkdir -p /etc/containers
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json
for folder in /var/lib/cni /var/lib/containers /var/tmp; do
    if [ -d "$folder" ]; then mount -t tmpfs -o mode=1777 tmpfs "$folder"; fi
done
# Devices that users of other machines have access to.
mkdir /run/devices
mknod -m 666 /run/devices/tun c 10 200
mknod -m 666 /run/devices/fuse c 10 229
mount --bind /run/devices/tun /dev/net/tun
if [ -e /dev/fuse ]; then mount --bind /run/devices/fuse /dev/fuse; fi
ip link set lo up
echo ready
# The shell, as the first process, takes leave of every orphan while it waits.
cat >/dev/null
exit 0
