"""A real Kubernetes cluster for tests on this Linux machine, as root: `python cluster.py up`.

The control plane (etcd, kube-apiserver, kube-controller-manager, kube-scheduler) and CoreDNS are plain
processes of the host. A node is a network, a PID and a mount namespace in which containerd, kubelet and
kube-proxy run: killing its first process is pulling the plug, and the kernel ends all that ran in it.
The host's sysctls, iptables and mounts are never changed.

    10.N.0.1           the host: API server (port 6443) and DNS; N is the first free number
    10.N.0.(10+i)      node i, called n1, n2, ...
    10.N.1.0/24        Services; the host reaches them through the kube-proxy of the first live node
    10.N.(128+i).0/24  pods of node i, reachable from the host
"""

import argparse
import base64
import contextlib
import fcntl
import hashlib
import io
import ipaddress
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "test-cluster"
PACKAGES = "etcd-server containerd runc containernetworking-plugins busybox-static iptables iproute2 util-linux"
TOOLS = "etcd containerd ctr runc busybox iptables ip nsenter unshare"
CNI_PLUGINS = "/usr/lib/cni"
IMAGE = "localhost/base:1"  # busybox; every node has it
NODE_GRACE_S = 8  # a silent node becomes NotReady after this time
CERTIFICATE_END = "-----END CERTIFICATE-----\n"
LONGEST_S = 600  # for any command that is run to its end
EVICTION_S = 5  # and its pods are deleted after this time more

# The kubelet insists on these values of /proc/sys. Nodes see files with them instead of the host's settings.
SYSCTLS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}

# First process of a node. $1: folder of the node, $2: its name, $3: its address, $4: network of all pods.
NODE_SCRIPT = """
set -e
mount -n -t overlay -o "lowerdir=/var,upperdir=$1/var,workdir=$1/work" overlay /var
mount -n -t tmpfs tmpfs /run
mkdir -p /var/lib/kubelet
mount -n --bind "$1/kubelet" /var/lib/kubelet
cd "$1/sysctl"
find * -type f | while read -r key; do mount -n --bind "$key" "/proc/sys/$key"; done
cd "$1/.."
containerd --config="$1/containerd.toml" >"logs/$2-containerd" 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 0.1; done
ctr --namespace=k8s.io image import base.tar
./kubeall kube-proxy --proxy-mode=iptables --cluster-cidr="$4" --kubeconfig=proxy.kubeconfig \\
  --hostname-override="$2" --conntrack-max-per-core=0 --iptables-min-sync-period=0s >"logs/$2-proxy" 2>&1 &
./kubeall kubelet --config="$1/kubelet.json" --kubeconfig="$2.kubeconfig" \\
  --hostname-override="$2" --node-ip="$3" >"logs/$2-kubelet" 2>&1 &
wait
"""


class ClusterError(Exception):
    """The cluster could not be started or changed; the message says what to do."""


def run(*command: object, check: bool = True) -> str:
    """Run a command to its end and return what it wrote."""
    environment = os.environ | {"NO_PROXY": "*"}
    words = [str(part) for part in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=LONGEST_S)
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{' '.join(words)}: did not end within {LONGEST_S} s") from error
    if check and done.returncode:
        raise ClusterError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def ip(command: str, check: bool = True) -> str:
    """One `ip` command."""
    return run("ip", *command.split(), check=check)


def wait_for(what: str, is_done: Callable[[], bool], timeout_s: float, log: Path | None = None) -> None:
    """Ask again until the answer is yes; an error counts as no."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ClusterError):
            if is_done():
                return
        time.sleep(0.1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log and log.exists() else ""
    raise ClusterError(f"waited {timeout_s:.0f} s for {what}; {log or ''}\n{tail}")


@contextlib.contextmanager
def locked(what: str) -> Iterator[None]:
    """One process at a time: parallel test workers make a thing once and take different networks."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(source: Path = SOURCE, package: str = ".") -> Path:
    """Compile a Go program into the cache, once for each version of the files in `source`."""
    files = [source / "go.mod", source / "go.sum", *sorted(source.glob("*.go"))]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    binary = CACHE / f"{Path(package).name or 'kubeall'}-{digest}"
    with locked(binary.name):
        if not binary.exists():
            partial = binary.with_suffix(".partial")
            flags = ["-trimpath", "-buildvcs=false", f"-ldflags={_linker_flags(files[0])}", f"-o={partial}"]
            # Nobody debugs it, and the compiler may use memory in place of time: a fifth less of it.
            flags.append("-gcflags=all=-dwarf=false")
            environment = {"GOGC": "400"} | os.environ | {"CGO_ENABLED": "0", "GOWORK": "off"}
            if subprocess.run(["go", "build", *flags, package], cwd=source, env=environment).returncode:
                raise ClusterError("go build failed, see above; it needs Go and a Go module proxy")
            partial.rename(binary)
    return binary


def _linker_flags(go_mod: Path) -> str:
    """Make Kubernetes' programs report the version of go.mod."""
    if not (found := re.search(r"k8s\.io/kubernetes v(\d+)\.(\d+)\.(\d+)", go_mod.read_text())):
        return "-s -w"
    major, minor, patch = found.groups()
    values = {"gitMajor": major, "gitMinor": minor, "gitVersion": f"v{major}.{minor}.{patch}"}
    return "-s -w " + " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items())


def write_image(path: Path) -> None:
    """Pack busybox as an image archive; as it sleeps by default, it is the pods' sandbox image too."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(shutil.which("busybox") or "busybox", "bin/busybox")
        for applet in set(run("busybox", "--list").split()) - {"busybox"}:
            _add(tar, f"bin/{applet}", type=tarfile.SYMTYPE, linkname="busybox")
        _add(tar, "tmp", type=tarfile.DIRTYPE, mode=0o1777)
        _add(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        _add(tar, "etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    machine = os.uname().machine
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        "os": "linux",
        "config": {"Cmd": ["sleep", "2147483647"], "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        _add(tar, "config.json", json.dumps(config).encode())
        _add(tar, "layer.tar", layer.getvalue())
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes = b"", **fields: object) -> None:
    entry = tarfile.TarInfo(name)
    for key, value in {"size": len(content), **fields}.items():
        setattr(entry, key, value)
    tar.addfile(entry, io.BytesIO(content))


def pod_overlay(python: str = sys.executable, *more_paths: str) -> dict[str, list[dict[str, object]]]:
    """Pod `volumes` and container `volumeMounts` (read-only) that make the host's `python` run in a pod.

    `python` may be that of a virtual environment: its packages, the Python it was made from and the
    host's libraries come along, at the paths that they have on the host. So do `more_paths`.
    """
    prefixes = run(python, "-c", "import sys; print(sys.prefix, sys.base_prefix, sep='\\n')").splitlines()
    paths: list[str] = []
    for path in ("/usr", "/lib", "/lib64", *prefixes, *more_paths):
        if Path(path).exists() and not any(Path(path).is_relative_to(other) for other in paths):
            paths.append(path)
    return {
        "volumes": [{"name": f"host-{i}", "hostPath": {"path": path}} for i, path in enumerate(paths)],
        "volumeMounts": [{"name": f"host-{i}", "mountPath": path, "readOnly": True} for i, path in enumerate(paths)],
    }


@dataclass(frozen=True)
class Plan:
    """Size and addresses of one cluster; see the top of this file."""

    number: int
    nodes: int

    def address(self, third: int, fourth: int) -> str:
        return f"10.{self.number}.{third}.{fourth}"

    @property
    def host(self) -> str:
        return self.address(0, 1)

    @property
    def loopback(self) -> str:
        """Out of the pods' reach; as each cluster has its own, their ports do not collide."""
        return f"127.{self.number}.0.1"

    @property
    def services(self) -> str:
        return self.address(1, 0) + "/24"

    @property
    def all_pods(self) -> str:
        return self.address(128, 0) + "/17"

    def node(self, index: int) -> str:
        return self.address(0, 10 + index)

    def pods(self, index: int) -> str:
        return self.address(128 + index, 0) + "/24"

    @property
    def indices(self) -> range:
        return range(1, self.nodes + 1)


class Cluster:
    """One cluster, whose whole state is in a directory: any process may stop or change it."""

    def __init__(self, directory: Path = CACHE / "default") -> None:
        self.dir = directory.resolve()
        self.kubeconfig = self.dir / "kubeconfig"
        self.name = "kt" + hashlib.sha256(bytes(self.dir)).hexdigest()[:8]  # of namespaces, cgroups and the link

    def up(self, nodes: int = 2) -> Path:
        """Start a fresh cluster, wait until its nodes are Ready and return the administrator's kubeconfig."""
        if missing := [tool for tool in TOOLS.split() if not shutil.which(tool)]:
            raise ClusterError(f"missing: {' '.join(missing)}; run: cluster.py install-packages")
        if os.geteuid() != 0 or self.dir.is_relative_to("/run") or self.dir.is_relative_to("/var"):
            raise ClusterError("a cluster needs root, and a --dir outside /run and /var (nodes have their own)")
        if self.dir.exists() and any(self.dir.iterdir()) and not (self.dir / "pids").exists():
            raise ClusterError(f"{self.dir} holds other files; choose an empty or new --dir")
        binary = build()
        self.down()
        shutil.rmtree(self.dir / "logs", ignore_errors=True)
        for folder in ("pids", "logs", "certs"):
            (self.dir / folder).mkdir(parents=True, exist_ok=True)
        (self.dir / "kubeall").symlink_to(binary)
        write_image(self.dir / "base.tar")
        self._make_network(nodes)
        self._start_control_plane()
        for index in self.plan.indices:
            self._start_node(index)
        wait_for("the nodes", lambda: self.ready_nodes() == nodes, 90, self.dir / "logs" / "n1-kubelet")
        account = ("get", "serviceaccount", "default")  # without it the API server refuses pods
        wait_for("the default ServiceAccount", lambda: bool(self.kubectl(*account)), 30)
        return self.kubeconfig

    def down(self) -> None:
        """Stop the processes of the cluster and remove what it made; its logs stay until the next `up`."""
        for pid_file in (self.dir / "pids").glob("*"):
            self._kill(pid_file.name)
        for netns in re.findall(rf"^{self.name}-\w+", ip("netns list"), re.MULTILINE):
            self._await_end(netns)
            ip(f"netns delete {netns}")
        ip(f"link delete {self.name}", check=False)
        with contextlib.suppress(OSError):  # iproute2 made and mounted this folder, for us or for others
            if not any(Path("/run/netns").iterdir()):
                run("umount", "-n", "/run/netns", check=False)
                Path("/run/netns").rmdir()
        for entry in self.dir.glob("*") if (self.dir / "pids").exists() else ():  # else it is not our directory
            if entry.is_dir() and entry.name not in ("pids", "logs"):
                shutil.rmtree(entry)
            elif not entry.is_dir():
                entry.unlink()

    def kill_node(self, index: int) -> None:
        """Pull the plug of node `index`: its kubelet, containerd and containers end at once."""
        if index not in self.plan.indices:
            raise ClusterError(f"no node {index}: there are {self.plan.nodes}")
        self._kill(f"n{index}")
        self._await_end(f"{self.name}-n{index}")
        self._route_services()

    def restart_node(self, index: int) -> None:
        """Boot node `index` again, with the disk that it had, and wait until it is Ready."""
        self.kill_node(index)
        lease = ("get", "lease", f"n{index}", "--namespace=kube-node-lease", "--output=jsonpath={.spec.renewTime}")
        last_sign = self.kubectl(*lease)
        self._start_node(index)
        wait_for(f"node {index}", lambda: self.kubectl(*lease) != last_sign, 60)
        self.kubectl("wait", "--for=condition=Ready", f"node/n{index}", "--timeout=60s")

    def stop_api_server(self) -> None:
        """Kill the API server; everything else goes on as well as it can."""
        self._kill("kube-apiserver")

    def start_api_server(self) -> None:
        """Start the API server that was stopped, and wait until it answers."""
        self._spawn_api_server()
        log = self.dir / "logs" / "kube-apiserver"
        wait_for("the API server", lambda: self.kubectl("get", "--raw=/readyz") == "ok", 60, log)

    def import_image(self, archive: Path) -> None:
        """Load an image archive (docker or OCI) into every live node."""
        for index in self.plan.indices:
            if pid := self._pid(f"n{index}"):
                node = Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()  # `pid` made it and waits
                ctr = ("ctr", "--namespace=k8s.io", "image", "import", archive.resolve())
                run("nsenter", "--mount", f"--target={node}", *ctr)

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Write a kubeconfig with the rights of an existing ServiceAccount, for a day: to test a product's RBAC."""
        token = self.kubectl("create", "token", name, f"--namespace={namespace}", "--duration=24h").strip()
        return self._write_kubeconfig(f"{namespace}.{name}.kubeconfig", token, namespace)

    def kubectl(self, *arguments: object) -> str:
        """Run kubectl as administrator and return what it wrote."""
        if not self.kubeconfig.exists():
            raise ClusterError(f"no cluster in {self.dir}; start one with: cluster.py up")
        flags = [f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.dir}/kubectl"]
        return run(self.dir / "kubeall", "kubectl", *flags, *arguments)

    def ready_nodes(self) -> int:
        """How many nodes are Ready."""
        return self.kubectl("get", "nodes", "--no-headers").split().count("Ready")

    def status(self) -> str:
        """A line for each process, then the nodes."""
        names = sorted(pid_file.name for pid_file in (self.dir / "pids").glob("*"))
        lines = [f"{name:24}{f'pid {pid}' if (pid := self._pid(name)) else 'ended'}" for name in names]
        return "\n".join([*lines, self.kubectl("get", "nodes", "-o", "wide")])

    @property
    def plan(self) -> Plan:
        """The running cluster's size and addresses."""
        try:
            return Plan(**json.loads((self.dir / "plan.json").read_text()))
        except FileNotFoundError:
            raise ClusterError(f"no cluster in {self.dir}; start one with: cluster.py up") from None

    def _make_network(self, nodes: int) -> None:
        """Join the host and the nodes by a bridge. It has a namespace of its own, out of the host's iptables."""
        hub = f"{self.name}-hub"
        ip(f"netns add {hub}")
        ip(f"-n {hub} link add br0 up type bridge")
        ip(f"link add {self.name} type veth peer name host netns {hub}")
        ip(f"-n {hub} link set host up master br0")
        with locked("network"):
            plan = Plan(free_number(), nodes)
            ip(f"addr add {plan.host}/24 dev {self.name}")
            ip(f"link set {self.name} up")
        (self.dir / "plan.json").write_text(json.dumps(asdict(plan)))
        for index in plan.indices:
            netns = f"{self.name}-n{index}"
            ip(f"netns add {netns}")
            ip(f"-n {hub} link add n{index} type veth peer name eth0 netns {netns}")
            ip(f"-n {hub} link set n{index} up master br0")
            ip(f"-n {netns} addr add {plan.node(index)}/24 dev eth0")
            ip(f"-n {netns} link set lo up")
            ip(f"-n {netns} link set eth0 up")
            ip(f"-n {netns} route add default via {plan.host}")
            for other in set(plan.indices) - {index}:
                ip(f"-n {netns} route add {plan.pods(other)} via {plan.node(other)}")
            run("nsenter", f"--net=/run/netns/{netns}", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
            ip(f"route add {plan.pods(index)} via {plan.node(index)}")

    def _route_services(self) -> None:
        live = [index for index in self.plan.indices if self._pid(f"n{index}")]
        for index in live[:1]:
            ip(f"route replace {self.plan.services} via {self.plan.node(index)}")

    def _start_control_plane(self) -> None:
        plan, certs, log = self.plan, self.dir / "certs", self.dir / "logs" / "kube-apiserver"
        tokens = self._write_tokens()
        etcd, peer = f"http://{plan.loopback}:2379", f"http://{plan.loopback}:2380"
        self._spawn(
            "etcd", "etcd", f"--data-dir={self.dir}/etcd", "--unsafe-no-fsync",
            f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}", f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        )  # fmt: skip
        self._spawn_api_server()
        wait_for("the certificate", lambda: (certs / "apiserver.crt").read_text().endswith(CERTIFICATE_END), 60, log)
        for name, token in tokens.items():
            self._write_kubeconfig("kubeconfig" if name == "admin" else f"{name}.kubeconfig", token)
        wait_for("the API server", lambda: self.kubectl("get", "--raw=/readyz") == "ok", 60, log)

        self._spawn_controller("scheduler")
        self._spawn_controller(
            "controller-manager", "--use-service-account-credentials", f"--root-ca-file={certs}/apiserver.crt",
            f"--service-account-private-key-file={certs}/apiserver.key",
            "--kube-api-qps=200", "--kube-api-burst=400",
            "--node-monitor-period=1s", f"--node-monitor-grace-period={NODE_GRACE_S}s",
        )  # fmt: skip
        (self.dir / "Corefile").write_text(
            f"cluster.local {{\n bind {plan.host}\n errors\n"
            f' kubernetes {{\n  kubeconfig "{self.dir}/dns.kubeconfig"\n  ttl 0\n }}\n}}\n'
            f". {{\n bind {plan.host}\n template ANY ANY {{\n  rcode NXDOMAIN\n }}\n}}\n"
        )
        self._spawn_kube("coredns", f"-conf={self.dir}/Corefile")

    def _spawn_api_server(self) -> None:
        plan, certs = self.plan, self.dir / "certs"
        etcd = f"http://{plan.loopback}:2379"
        # The API server makes its own certificate in `certs`; that key signs the ServiceAccounts' tokens too.
        self._spawn_kube(
            "kube-apiserver", f"--etcd-servers={etcd}", f"--bind-address={plan.host}", f"--cert-dir={certs}",
            f"--advertise-address={plan.host}", f"--service-cluster-ip-range={plan.services}", "--allow-privileged",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            f"--token-auth-file={self.dir}/tokens.csv", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={certs}/apiserver.key",
            f"--service-account-key-file={certs}/apiserver.key", "--kubelet-preferred-address-types=InternalIP",
            f"--default-not-ready-toleration-seconds={EVICTION_S}",
            f"--default-unreachable-toleration-seconds={EVICTION_S}",
        )  # fmt: skip

    def _spawn_controller(self, name: str, *flags: str) -> None:
        uses = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        configs = [f"--{use}={self.dir}/{name}.kubeconfig" for use in uses]
        server = [f"--bind-address={self.plan.loopback}", f"--cert-dir={self.dir}/certs/{name}"]
        self._spawn_kube(f"kube-{name}", "--leader-elect=false", *configs, *server, *flags)

    def _write_tokens(self) -> dict[str, str]:
        """Make a token for each user of the API server: the administrator and the cluster's own programs."""
        users = {
            "admin": 'admin,1,"system:masters"',
            "dns": 'dns,2,"system:masters"',
            "proxy": "system:kube-proxy,3",
            "scheduler": "system:kube-scheduler,4",
            "controller-manager": "system:kube-controller-manager,5",
        }
        users |= {f"n{i}": f'system:node:n{i},n{i},"system:nodes"' for i in self.plan.indices}
        tokens = {name: secrets.token_hex(16) for name in users}
        lines = "".join(f"{tokens[name]},{user}\n" for name, user in users.items())
        write_secret(self.dir / "tokens.csv", lines)
        return tokens

    def _write_kubeconfig(self, name: str, token: str, namespace: str = "default") -> Path:
        authority = base64.b64encode((self.dir / "certs" / "apiserver.crt").read_bytes()).decode()
        server = {"server": f"https://{self.plan.host}:6443", "certificate-authority-data": authority}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
            "current-context": "test",
        }
        return write_secret(self.dir / name, json.dumps(config))  # JSON is YAML

    def _start_node(self, index: int) -> None:
        folder, netns = self.dir / f"n{index}", f"{self.name}-n{index}"
        for name in ("var", "work", "kubelet", "cni"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for key, value in SYSCTLS.items():
            (folder / "sysctl" / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / "sysctl" / key).write_text(f"{value}\n")
        (folder / "containerd.toml").write_text(containerd_config(folder))
        (folder / "cni" / "pods.conflist").write_text(json.dumps(cni_config(self.plan.pods(index))))
        config = kubelet_config(self.plan.node(index), self.plan.host, netns)
        (folder / "kubelet.json").write_text(json.dumps(config))
        make_cgroup(netns)
        self._spawn(
            f"n{index}", "nsenter", f"--net=/run/netns/{netns}", "unshare", "--mount", "--propagation=slave",
            "--pid", "--fork", "--kill-child", "--mount-proc",
            "sh", "-c", NODE_SCRIPT, "sh", str(folder), f"n{index}", self.plan.node(index), self.plan.all_pods,
        )  # fmt: skip
        self._route_services()

    def _spawn_kube(self, name: str, *flags: str) -> None:
        self._spawn(name, f"{self.dir}/kubeall", name, *flags)

    def _spawn(self, name: str, *command: str) -> None:
        """Start a process that outlives us; before all else it records its own pid, so that none is ever lost."""
        pid_file, log = self.dir / "pids" / name, self.dir / "logs" / name
        pid_file.unlink(missing_ok=True)
        script = 'cd / && exec </dev/null >>"$1" 2>&1 && echo $$ >"$0" && shift && exec "$@"'
        run("setsid", "--fork", "sh", "-c", script, pid_file, log, *command)
        wait_for(f"{name} to start", lambda: self._pid(name) is not None, 30)

    def _pid(self, name: str) -> int | None:
        """The recorded process, if it still runs: a stranger who got its pid has another command line."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.dir / "pids" / name).read_text())
            if f"{self.dir}/".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def _kill(self, name: str) -> None:
        if pid := self._pid(name):
            os.kill(pid, signal.SIGKILL)
            wait_for(f"the end of {name}", lambda: self._pid(name) is None, 20)
        (self.dir / "pids" / name).unlink(missing_ok=True)

    def _await_end(self, netns: str) -> None:
        """Wait until the kernel has ended every process of a killed node, then remove its cgroups."""
        wait_for(f"{netns} to end", lambda: not ip(f"netns pids {netns}").strip(), 60)
        wait_for(f"the cgroups of {netns} to be empty", lambda: remove_cgroup(netns), 60)


def free_number() -> int:
    """The N of a network 10.N.0.0/16 that this machine has no route to."""
    routes = [route["dst"] for route in json.loads(ip("-j route")) if route["dst"] != "default"]
    for number in range(60, 250):
        network = ipaddress.ip_network(f"10.{number}.0.0/16")
        if not any(network.overlaps(ipaddress.ip_network(route)) for route in routes):
            return number
    raise ClusterError("no free network among 10.60.0.0/16 ... 10.249.0.0/16")


def write_secret(path: Path, text: str) -> Path:
    """Write a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def cgroup_trees() -> list[Path]:
    """The cgroup trees of this machine: one for each controller with cgroup v1, a single one with v2."""
    root = Path("/sys/fs/cgroup")
    return [tree for tree in (root, *root.iterdir()) if (tree / "cgroup.procs").exists() and os.path.ismount(tree)]


def make_cgroup(name: str) -> None:
    """Make the cgroup in every tree. A new cpuset of cgroup v1 is empty: it takes its parent's values."""
    for tree in cgroup_trees():
        (tree / name).mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (tree / file).exists():
                (tree / name / file).write_text((tree / file).read_text())


def remove_cgroup(name: str) -> bool:
    """Remove the cgroup and those in it, from every tree; it fails while the kernel still ends a process there."""
    for tree in cgroup_trees():
        for folder, _, _ in os.walk(tree / name, topdown=False):
            Path(folder).rmdir()
    return True


def containerd_config(folder: Path) -> str:
    """Settings of containerd. Without CAP_SYS_RESOURCE pods start only with restrict_oom_score_adj."""
    return f"""version = 2
root = "{folder}/containerd"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{folder}/cni"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
"""


def cni_config(subnet: str) -> dict[str, object]:
    """Each pod has a link to its node, which routes: a bridge would carry answers past kube-proxy's rules."""
    addresses = {"type": "host-local", "subnet": subnet, "dataDir": "/run/cni", "routes": [{"dst": "0.0.0.0/0"}]}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": False, "ipam": addresses}]}


def kubelet_config(address: str, dns: str, cgroup: str) -> dict[str, object]:
    """Settings of a kubelet: quick heartbeats, no eviction, and cgroups apart from the other kubelets'."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "clusterDNS": [dns],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "evictionHard": dict.fromkeys(("memory.available", "nodefs.available", "imagefs.available"), "0%"),
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "nodeLeaseDurationSeconds": 4,
        "nodeStatusUpdateFrequency": "2s",
        "resolvConf": "",
        "syncFrequency": "5s",  # a changed Secret or ConfigMap soon reaches the pods that mount it
        "volumePluginDir": "/run/kubelet-plugins",
    }


def install_packages() -> None:
    """Install the Debian packages; where systemd runs, it then starts an etcd and a containerd of its own."""
    if subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES.split()]).returncode:
        raise ClusterError("apt-get failed, see above")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A real Kubernetes cluster for tests on this machine (as root).")
    parser.add_argument("--dir", type=Path, default=CACHE / "default", help="the cluster's directory (%(default)s)")
    parser.add_argument("--nodes", type=int, default=2, help="for `up` (%(default)s)")
    parser.add_argument("command", help="build, install-packages, up, down, status, kill-node N, restart-node N, "
                        "import-image ARCHIVE or kubeconfig NAMESPACE SERVICE_ACCOUNT")  # fmt: skip
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    cluster = Cluster(options.dir)
    commands: dict[str, Callable[..., object]] = {
        "build": build,
        "install-packages": install_packages,
        "up": lambda: cluster.up(options.nodes),
        "down": cluster.down,
        "status": cluster.status,
        "kill-node": lambda index: cluster.kill_node(int(index)),
        "restart-node": lambda index: cluster.restart_node(int(index)),
        "import-image": lambda archive: cluster.import_image(Path(archive)),
        "kubeconfig": cluster.service_account_kubeconfig,
    }
    if options.command not in commands:
        parser.error(f"no command {options.command}")
    try:
        if answer := commands[options.command](*options.arguments):
            sys.stdout.write(f"{answer}\n")
    except ClusterError as error:
        sys.exit(f"cluster.py: {error}")


if __name__ == "__main__":
    main()
