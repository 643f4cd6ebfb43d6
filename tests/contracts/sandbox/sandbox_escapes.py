"""Ways out of a sandbox, each the body of a function; it returns when it has got out.

A way that only the kernel of x86_64 has is named in ``X86_64``.
"""

from __future__ import annotations

PREAMBLE = """
import ctypes, fcntl, json, mmap, os, platform, resource, signal, socket, subprocess, sys, threading
host = json.load(open("target.json"))
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
ARM = platform.machine() == "aarch64"

def call(x86, arm, *arguments):
    number = arm if ARM else x86
    held = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *held)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result

def read(path):
    with open(path, "rb") as file:
        return file.read(100)

def write(path, mode="w"):
    with open(path, mode) as file:
        file.write("out")

def connect(family, kind, address):
    with socket.socket(family, kind) as client:
        client.settimeout(2)
        client.connect(address)

def attempt():
"""

POSTAMBLE = """
try:
    said = attempt()
except (OSError, MemoryError, ValueError) as error:
    print("DENIED", type(error).__name__, error)
else:
    print("ESCAPED", said)
"""

READS = {
    "the password file": 'return read("/etc/passwd")',
    "the shadow file": 'return read("/etc/shadow")',
    "a secret that every user may read": 'return read(host["secret"])',
    "a secret through the root of proc": 'return read("/proc/self/root" + host["secret"])',
    "a secret through the folder of proc": 'return read("/proc/self/cwd/../../../../.." + host["secret"])',
    "root's home": 'return os.listdir("/root")',
    "the folder of a secret": 'return os.listdir(host["folder"])',
    "the top folder": """
return [name for name in os.listdir("/") if name in ("root", "home", "etc/shadow", "work")][0]
""",
    "environment of process 1": 'return read("/proc/1/environ")',
    "environment of the parent": "return read(f\"/proc/{host['parent']}/environ\")",
    "environment of the parent by relation": 'return read(f"/proc/{os.getppid()}/environ")',
    "files of process 1": 'return os.listdir("/proc/1/root")',
    "memory of process 1": 'return read("/proc/1/mem")',
    "memory of the parent": "return read(f\"/proc/{host['parent']}/mem\")",
    "memory of the parent by process_vm_readv": """
return call(310, 270, host["parent"], ctypes.create_string_buffer(16), 1, ctypes.create_string_buffer(16), 1, 0)
""",
    "descriptors of the parent": "return os.listdir(f\"/proc/{host['parent']}/fd\")",
    "the kernel's log": 'return read("/dev/kmsg")',
    "the machine's memory": 'return read("/dev/mem")',
    "the first disk": """
names = [n for n in ("/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/xvda") if os.path.exists(n)]
return read((names or ["/dev/sda"])[0])
""",
    "a terminal": 'return read("/dev/tty")',
    "a file by its handle": """
handle = ctypes.create_string_buffer(b"\\x80\\0\\0\\0", 256)
return call(303, 264, -100, ctypes.c_char_p(b"/usr/lib"), handle, ctypes.create_string_buffer(8), 0)
""",
}

WRITES = {
    "a file that every user may write": 'write(host["secret"])',
    "a new file outside": 'write(host["folder"] + "/new")',
    "a new folder outside": 'os.mkdir(host["folder"] + "/new")',
    "the end of a file outside": 'write(host["secret"], "a")',
    "a truncation by path": "os.truncate(host['secret'], 0)",
    "a truncation while reading": 'os.open(host["secret"], os.O_RDONLY | os.O_TRUNC)',
    "a truncation of a readable library": "os.open(json.__file__, os.O_RDONLY | os.O_TRUNC)",
    "a removal outside": 'os.unlink(host["secret"])',
    "a move out": 'write("out/a"); os.rename("out/a", host["folder"] + "/a")',
    "a move in": 'os.rename(host["secret"], "out/a")',
    "the bytecode of the environment": """
import glob
place = [p for p in sys.path if p.startswith("/") and "site-packages" in os.path.realpath(p)] or sys.path[-1:]
write(place[0] + "/numpy/__pycache__/planted.pyc")
""",
    "a planted .pth": 'write(sys.path[-1] + "/planted.pth")',
    "a module of the standard library": 'write(json.__file__, "a")',
    "a new module beside the standard library": 'write(os.path.dirname(os.__file__) + "/planted.py")',
    "its own input": 'write("target.json")',
    "its own code": 'write("code.py", "a")',
    "a new input": 'write("new.csv")',
    "a removal of its input": 'os.unlink("target.json")',
    "a symbolic link": 'os.symlink("/etc/shadow", "out/link.txt")',
    "a symbolic link to the folder above": 'os.symlink("..", "out/link")',
    "a hard link to its input": 'os.link("target.json", "out/linked.json")',
    "a hard link of its own": 'write("out/a"); os.link("out/a", "out/b")',
    "a named pipe": 'os.mkfifo("out/pipe.txt")',
    "a device": 'os.mknod("out/null", 0o020666, os.makedev(1, 3))',
    "a socket file": """
with socket.socket(socket.AF_UNIX) as server:
    server.bind("out/socket.txt")
""",
    "a file that runs as its owner, by chmod": 'write("out/a"); os.chmod("out/a", 0o4777)',
    "a file that runs as its owner, by fchmod": """
with open("out/a", "w") as file:
    os.fchmod(file.fileno(), 0o6755)
""",
    "a file that runs as its owner, by open": 'os.open("out/a", os.O_CREAT | os.O_WRONLY, 0o4777)',
    "a file that runs as its owner, by fchmodat2": """
write("out/a"); call(452, 452, -100, ctypes.c_char_p(b"out/a"), 0o4777, 0)
""",
    "a folder that nobody can list": 'os.mkdir("out/hidden", 0o300)',
    "another owner": 'write("out/a"); os.chown("out/a", 0, 0)',
    "an attribute": 'write("out/a"); os.setxattr("out/a", "user.a", b"a")',
    "shared memory as a file": 'write("/dev/shm/left")',
    "the temporary folder": 'write("/tmp/mmm-escaped")',
    "the system's programs": 'write("/usr/lib/planted")',
    "the folder of job folders": 'write("../../new")',
    "the kernel's settings": 'write("/proc/sys/kernel/core_pattern")',
    "its own memory as a file": 'write("/proc/self/mem", "r+")',
    "the out-of-memory score": 'write("/proc/self/oom_score_adj")',
}

NETWORK = {
    "a service on loopback": 'connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", host["port"]))',
    "a service on loopback by IPv6": 'connect(socket.AF_INET6, socket.SOCK_STREAM, ("::1", host["port"]))',
    "a machine outside": 'connect(socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80))',
    "a datagram": """
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.sendto(b"out", ("127.0.0.1", host["port"]))
""",
    "a name": 'return socket.gethostbyname("example.com")',
    "a server": 'socket.create_server(("127.0.0.1", 0)).close()',
    "a Unix socket": 'connect(socket.AF_UNIX, socket.SOCK_STREAM, host["unix"])',
    "an abstract Unix socket": 'connect(socket.AF_UNIX, socket.SOCK_STREAM, "\\0" + host["abstract"])',
    "a pair that could send elsewhere": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()",
    "a virtual machine's socket": "socket.socket(40, socket.SOCK_STREAM).close()",
    "raw packets": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()",
    "packets of the wire": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()",
    "the kernel's ciphers": "socket.socket(38, socket.SOCK_SEQPACKET).close()",
}

PROCESSES = {
    "a fork": """
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
""",
    "an orphan": """
if os.fork() == 0:
    if os.fork() == 0:
        import time
        time.sleep(600)
    os._exit(0)
""",
    "a clone without a thread": "call(56, 220, 17, 0, 0, 0, 0)",
    "a clone into a namespace": "call(56, 220, 0x10010000 | 0x900, 0, 0, 0, 0)",
    "clone3": "call(435, 435, ctypes.create_string_buffer(88), 88)",
    "a shell": """
if os.system("true") != 0:
    raise OSError("no shell")
""",
    "a program": 'return subprocess.check_output([sys.executable, "-c", ""])',
    "a spawn": 'os.posix_spawn(sys.executable, ["python"], {})',
    "another program in its place": 'os.execv("/bin/true", ["true"])',
    "a pool of processes": """
import concurrent.futures
with concurrent.futures.ProcessPoolExecutor(1) as pool:
    pool.submit(int).result()
""",
    "a session of its own": "os.setsid()",
    "a process group of its own": "os.setpgid(0, 0)",
    "a signal to the parent": 'os.kill(host["parent"], 0)',
    "a signal to the parent by relation": "os.kill(os.getppid(), 0)",
    "a signal to its group": "os.killpg(0, signal.SIGCONT)",
    "a signal to the parent's group": 'os.killpg(host["group"], signal.SIGCONT)',
    "a signal to everyone": "os.kill(-1, signal.SIGCONT)",
    "a signal to a thread of the parent": 'call(234, 131, host["parent"], host["parent"], 0)',
    "a queued signal": 'call(129, 138, host["parent"], 10, ctypes.create_string_buffer(128))',
    "a signal by the kernel's hand": """
reader, writer = os.pipe()
fcntl.fcntl(reader, 8, host["parent"])
""",
    "a handle of the parent": 'os.pidfd_open(host["parent"])',
    "tracing the parent": 'call(101, 117, 16, host["parent"], 0, 0)',
    "being traced": "call(101, 117, 0, 0, 0, 0)",
    "the parent's limits": 'resource.prlimit(host["parent"], resource.RLIMIT_NOFILE, (64, 64))',
    "the parent's processors": 'os.sched_setaffinity(host["parent"], {0})',
    "the parent's priority": 'os.setpriority(os.PRIO_PROCESS, host["parent"], 19)',
    "outliving the parent": """
if libc.prctl(1, 0, 0, 0, 0) != 0:
    raise OSError("prctl")
""",
    "becoming root": "os.setuid(0)",
    "more groups": "os.setgroups([0])",
}

KERNEL = {
    "a user namespace": "call(272, 97, 0x10000000)",
    "a mount namespace": "call(272, 97, 0x20000)",
    "another's namespace": "call(308, 268, 0, 0)",
    "a mount": 'call(165, 40, ctypes.c_char_p(b"none"), ctypes.c_char_p(b"/job/tmp"), ctypes.c_char_p(b"tmpfs"), 0, None)',
    "another root": 'os.chroot("out")',
    "io_uring": "call(425, 425, 8, ctypes.create_string_buffer(120))",
    "the keyring": "call(250, 219, 0, -3, 0)",
    "bpf": "call(321, 280, 0, ctypes.create_string_buffer(64), 64)",
    "performance counters": "call(298, 241, ctypes.create_string_buffer(112), 0, -1, -1, 0)",
    "userfaultfd": "call(323, 282, 0)",
    "a file in memory": 'os.memfd_create("a")',
    "shared memory that stays": "call(29, 194, 0x4D4D4D, 4096, 0o1600)",
    "a semaphore that stays": "call(64, 190, 0x4D4D4D, 1, 0o1600)",
    "a queue that stays": 'call(240, 180, ctypes.c_char_p(b"mmm"), 0o102, 0o600, None)',
    "another personality": "call(135, 92, 0x0400000)",
    "another filter": "call(317, 277, 0, 0, 0)",
    "another ruleset": "call(444, 444, 0, 0, 1)",
    "a terminal's input": 'fcntl.ioctl(0, 0x5412, b"x")',
    "a call that nobody knows": "call(9999, 9999)",
    "openat2": 'call(437, 437, -100, ctypes.c_char_p(b"out"), ctypes.create_string_buffer(24), 24)',
}

LIMITS = {
    "disk by fallocate": """
with open("out/a", "w") as file:
    os.posix_fallocate(file.fileno(), 0, 1 << 30)
""",
    "disk past the end by fallocate": """
with open("out/a", "w") as file:
    call(285, 47, file.fileno(), 1, 0, 1 << 30)
""",
    "a sparse file": """
with open("out/a", "w") as file:
    file.truncate(1 << 40)
""",
    "more memory": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "more processor time": "resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))",
    "an array of three gigabytes": "return len(bytearray(3 << 30))",
    "a mapping of three gigabytes": "return mmap.mmap(-1, 3 << 30)",
    "many open files": "return [os.open('/dev/null', os.O_RDONLY) for _ in range(1000)]",
}

ESCAPES = {
    f"{kind}: {name}": body
    for kind, found in (
        ("read", READS), ("write", WRITES), ("network", NETWORK), ("process", PROCESSES),
        ("kernel", KERNEL), ("limit", LIMITS),
    )
    for name, body in found.items()
}  # fmt: skip

# These do get out of a plain interpreter, whoever runs it.
UNGUARDED = (
    "read: a secret that every user may read",
    "read: a secret through the root of proc",
    "read: environment of the parent",
    "write: a new file outside",
    "write: a symbolic link",
    "write: a file that runs as its owner, by chmod",
    "network: a service on loopback",
    "network: a Unix socket",
    "network: an abstract Unix socket",
    "process: a fork",
    "process: a program",
    "process: a signal to the parent",
    "kernel: a file in memory",
    "limit: a sparse file",
)


def code_of(name: str) -> str:
    """The whole program that tries one way."""
    body = "\n".join(f"    {line}" for line in ESCAPES[name].strip().splitlines())
    return PREAMBLE + body + POSTAMBLE
