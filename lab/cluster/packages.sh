#!/bin/sh
# Installs the Debian packages that the real-cluster lab, and the tests of the agent's own packages, of the browser, of
# the specification and of the IAM policies, need, where they are missing. Needs root.
set -eu
packages="awscli chromium chromium-driver corosync curl gcc iproute2 iptables libxml2-utils man-db pacemaker pacemaker-cli-utils pcs resource-agents rpm spin systemd util-linux"
command -v npm >/dev/null || packages="$packages npm"  # another Node.js than Debian's will do as well
missing=
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "the real cluster and the browser tests need root and these Debian packages:$missing" >&2
    exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# Their services must not start here: the lab runs its own, in namespaces.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing >/dev/null
