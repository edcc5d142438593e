#!/bin/sh
# Makes a node of the classic two-node cluster out of a fresh Debian machine. The stack's user data
# (template.yaml beside this file) fetches the agent's package, which brings this script along, and
# runs it once:
#
#   classic-bootstrap all          everything below, in this order
#   classic-bootstrap install      the packages that are missing, and the agent's
#   classic-bootstrap configure    corosync.conf, the cluster's key, the agent's settings, the web page
#   classic-bootstrap start        the services; where systemd does not run, it says what to start
#   classic-bootstrap cluster      waits for both nodes; the first one sets properties and resource
#
# Each step may be repeated. /etc/eip-classic.conf says what the stack knows.
set -eu
umask 022 # the user data has a stricter one

SETTINGS=/etc/eip-classic.conf
PACKAGE=/var/tmp/eip-agent.deb
AGENT_CONF=/etc/eip-agent/eip-agent.conf
PAGE=/var/lib/eip-classic-page
PAGE_UNIT=/etc/systemd/system/eip-classic-page.service
PACKAGES="corosync iproute2 pacemaker pacemaker-cli-utils pcs python3"
SERVICES="corosync pacemaker pcsd eip-agent eip-classic-page"

say() { echo "classic-bootstrap: $*"; }
fail() { say "$*" >&2; exit 1; }

read_settings() {
    [ -r "$SETTINGS" ] || fail "$SETTINGS is missing: the stack's user data writes it"
    cluster_id= first_address= second_address= bus= table= key_secret=
    # shellcheck source=/dev/null
    . "$SETTINGS"
    for name in cluster_id first_address second_address bus table key_secret; do
        eval "value=\$$name"
        [ -n "$value" ] || fail "$SETTINGS does not say $name"
    done
    # A node knows which one it is by its private address.
    mine=" $(ip -4 -o address show | awk '{sub("/.*", "", $4); printf "%s ", $4}') "
    case "$mine" in
        *" $first_address "*) node=n1 address=$first_address ;;
        *" $second_address "*) node=n2 address=$second_address ;;
        *) fail "this machine has neither $first_address nor $second_address, but$mine" ;;
    esac
}

install_packages() {
    missing=
    for package in $PACKAGES; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        say "installing$missing"
        # Corosync must not start with the distribution's own configuration: Pacemaker would
        # remember a node by another name for ever.
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        export DEBIAN_FRONTEND=noninteractive
        # shellcheck disable=SC2086 # a list of words
        { apt-get update && apt-get install -y --no-install-recommends $missing; } ||
            { rm -f /usr/sbin/policy-rc.d; fail "apt-get did not install$missing"; }
        rm -f /usr/sbin/policy-rc.d
    else
        say "the distribution's packages are here"
    fi
    [ -r "$PACKAGE" ] || fail "$PACKAGE is missing: the stack's user data fetches it"
    dpkg --install "$PACKAGE"
}

configure() {
    read_settings
    # Where a shell knows nothing of it, a file that is written half must not be taken for whole.
    write /etc/corosync/corosync.conf 644 <<CONF
totem {
  version: 2
  cluster_name: $cluster_id
  transport: knet
  crypto_cipher: aes256
  crypto_hash: sha256
  token: 1000
}
quorum {
  provider: corosync_votequorum
  two_node: 1
}
nodelist {
  node {
    name: n1
    nodeid: 1
    ring0_addr: $first_address
  }
  node {
    name: n2
    nodeid: 2
    ring0_addr: $second_address
  }
}
logging {
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  to_syslog: yes
  timestamp: hires
}
CONF
    write "$AGENT_CONF" 644 <<CONF
[agent]
cluster_id = $cluster_id
bus = $bus
table = $table
node_name = $node
CONF
    cluster_key | write /etc/corosync/authkey 400
    mkdir -p "$PAGE"
    write "$PAGE/index.html" 644 <<HTML
<!DOCTYPE html>
<title>$cluster_id</title>
<p>This is $node of $cluster_id, at $address.</p>
HTML
    write "$PAGE_UNIT" 644 <<UNIT
[Unit]
Description=The classic cluster's web page: which node answers
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/python3 -m http.server --bind $address --directory $PAGE 80
DynamicUser=yes
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateDevices=yes
Restart=always

[Install]
WantedBy=multi-user.target
UNIT
    say "this is $node of $cluster_id, at $address"
}

# Writes its input to a file, whole or not at all: write FILE MODE
write() {
    cat > "$1.new"
    [ -s "$1.new" ] || fail "nothing to write to $1"
    chmod "$2" "$1.new"
    mv "$1.new" "$1"
}

# The secret's text, by the agent's own signer: no AWS CLI is needed on a node.
cluster_key() {
    for try in 1 2 3 4 5 6; do
        /usr/bin/python3 -BIS - "$AGENT_CONF" "$key_secret" <<'PYTHON' && return
import dataclasses
import os
import sys

sys.path.insert(0, "/usr/lib/eip-agent")

from eip_agent.calls.aws import Endpoint
from eip_agent.calls.channel import ExchangeError
from eip_agent.observe.metadata import Keyring, MetadataService
from eip_agent.settings import load_settings

settings = load_settings(sys.argv[1], os.environ)
service = MetadataService(settings.metadata_endpoint)
keyring = Keyring(service, None)
try:
    keyring.refresh()
    here = service.identity()
    settings = dataclasses.replace(
        settings,
        region=settings.region or here.region,
        domain=settings.domain or here.domain,
        read_seconds=10.0,
    )
    endpoint = Endpoint("secretsmanager", "1.1", settings, keyring)
    answer = endpoint.call("secretsmanager.GetSecretValue", {"SecretId": sys.argv[2]})
except ExchangeError as error:
    sys.exit(f"classic-bootstrap: the cluster's key cannot be read: {error}")
sys.stdout.write(answer["SecretString"])
PYTHON
        [ "$try" = 6 ] || sleep "${EIP_CLASSIC_RETRY_SECONDS:-10}"
    done
    return 1
}

start() {
    # shellcheck disable=SC2086 # a list of words
    systemctl enable $SERVICES
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        # shellcheck disable=SC2086 # a list of words
        systemctl restart $SERVICES
    else
        say "systemd does not run here: start $SERVICES, then run: $0 cluster"
        return 1
    fi
}

cluster() {
    read_settings
    say "waiting for both nodes"
    tries=0
    until crm_mon -1 2>/dev/null | grep -q 'Online: \[ n1 n2 \]'; do
        tries=$((tries + 1))
        [ "$tries" -le "${EIP_CLASSIC_WAIT_SECONDS:-900}" ] || fail "the other node has not come"
        sleep 1
    done
    if [ "$node" != n1 ]; then
        say "n1 sets the cluster up"
        return
    fi
    pcs property set stonith-enabled=false no-quorum-policy=ignore
    pcs resource defaults update resource-stickiness=INFINITY migration-threshold=1
    pcs alert config | grep -q eip-agent-alert ||
        pcs alert create id=eip-agent path=/usr/lib/eip-agent/eip-agent-alert
    pcs resource config eip >/dev/null 2>&1 ||
        pcs resource create eip ocf:eip-arbiter:eip op start timeout=60s monitor interval=10s \
            meta multiple-active=block
    say "the cluster runs; eip-agent doctor on each node says whether a failover would work now"
}

case "${1:-}" in
    install) install_packages ;;
    configure) configure ;;
    start) start ;;
    cluster) cluster ;;
    all)
        install_packages
        configure
        start
        cluster
        ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
esac
